#!/usr/bin/env python3
"""Times the tools against torch doing the Python scripts' work, in turn, and prints medians and ratios.

  python3 compare_with_torch.py MODEL_A MODEL_B [--runs 5] [--operators delta,a] [--tolerance 1e-4] [--device cuda]
  python3 compare_with_torch.py MODEL_A MODEL_B --forget FORGET --retain RETAIN [--runs 5]

With texts it is collect-activation-norms on both models in lockstep that is timed (f32 on the CPU, bf16 on a GPU), against transformers
in batches of two, padded, each model loaded again for each text, logits and all. Needs torch, safetensors and
transformers. Without texts it is collect-param-stats. torch's part is what the scripts did: per matrix the Frobenius norm of W_b - W_a and the
stable ranks of it and of W_a from five power iterations in f32, one tensor of safetensors in memory at a time. The tool
does more in its time: W_b too unless --operators delta,a leaves it out, certified intervals of relative width 1e-4, and
all other columns. `work` leaves out torch's start-up.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def torch_work(model_a, model_b, device):
    import torch
    from safetensors import safe_open

    def stable_rank(w, iterations=5):
        square = float((w * w).sum(dtype=torch.float64))
        if square == 0:
            return 0.0
        v = torch.randn(w.shape[1], 1, device=w.device)
        v /= v.norm()
        for _ in range(iterations):
            u = w @ v
            u /= u.norm() + 1e-12
            v = w.T @ u
            v /= v.norm() + 1e-12
        return square / float((w @ v).norm()) ** 2

    start = time.perf_counter()
    files = lambda model: {name: file for file in sorted(glob.glob(f"{model}/*.safetensors"))
                           for name in safe_open(file, "pt").keys()}
    a, b = files(model_a), files(model_b)
    for name in sorted(a.keys() & b.keys()):
        if not name.endswith(".weight"):
            continue
        x = safe_open(a[name], "pt", device).get_tensor(name)
        y = safe_open(b[name], "pt", device).get_tensor(name)
        if x.ndim == 2 and x.shape == y.shape:
            x = x.float()
            delta = y.float() - x
            float(delta.norm()), stable_rank(delta), stable_rank(x)
    print(json.dumps({"work": time.perf_counter() - start}))


def torch_activations(models, texts, device):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    start = time.perf_counter()
    with torch.inference_mode():
        for path in models:
            for text in texts:
                with open(text) as file:
                    lines = [line.strip() for line in file if line.strip()][:128]
                tokenizer = AutoTokenizer.from_pretrained(path)
                tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
                dtype = torch.float32 if device == "cpu" else torch.bfloat16
                model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype).to(device).eval()
                for first in range(0, len(lines), 2):
                    batch = tokenizer(lines[first:first + 2], return_tensors="pt", padding=True, truncation=True, max_length=512)
                    batch = {name: ids.to(device) for name, ids in batch.items() if name != "token_type_ids"}
                    mask = batch["attention_mask"]
                    for hidden in model(**batch, output_hidden_states=True, use_cache=False).hidden_states:
                        float((torch.linalg.vector_norm(hidden.float(), dim=-1) * mask).sum())
    print(json.dumps({"work": time.perf_counter() - start}))


def run(command):
    """Seconds, peak resident MB and output of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model_a")
    parser.add_argument("model_b")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--binaries", default="target/release")
    parser.add_argument("--forget")
    parser.add_argument("--retain")
    parser.add_argument("--operators", default="delta,a,b")
    parser.add_argument("--tolerance", default="1e-4")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--torch-only", action="store_true")
    options = parser.parse_args()
    texts = ["--forget", options.forget, "--retain", options.retain] if options.forget else []
    if options.torch_only:
        models = options.model_a, options.model_b
        if texts:
            return torch_activations(models, texts[1::2], options.device)
        return torch_work(*models, options.device)
    rows = []
    with tempfile.TemporaryDirectory() as outdir:
        models = ["--model-a", options.model_a, "--model-b", options.model_b, "--outdir", outdir, "-q",
                  "--device", options.device]
        if texts:
            ours = [f"{options.binaries}/collect-activation-norms", *models,
                    "--forget-text", options.forget, "--retain-text", options.retain]
        else:
            ours = [f"{options.binaries}/collect-param-stats", *models,
                    "--operators", options.operators, "--tolerance", options.tolerance]
        theirs = [sys.executable, __file__, options.model_a, options.model_b, *texts, "--device", options.device,
                  "--torch-only"]
        for turn in range(options.runs + 1):
            seconds, memory, _ = run(ours)
            torch_seconds, torch_memory, output = run(theirs)
            if turn > 0:  # the first one warms the page cache
                rows.append((seconds, memory, torch_seconds, torch_memory, json.loads(output)["work"]))
    median = lambda values: statistics.median(list(values))
    print(f"ours  {median(r[0] for r in rows):8.2f} s {median(r[1] for r in rows):8.0f} MB")
    print(f"torch {median(r[2] for r in rows):8.2f} s {median(r[3] for r in rows):8.0f} MB, "
          f"work alone {median(r[4] for r in rows):.2f} s")
    print(f"torch / ours, pair by pair: time {median(r[2] / r[0] for r in rows):.2f}, "
          f"work alone {median(r[4] / r[0] for r in rows):.2f}, memory {median(r[3] / r[1] for r in rows):.1f}")


main()
