#!/usr/bin/env python3
"""Makes a pair of checkpoints with the matrices of two GPT-NeoX-6.9B layers (bf16, two shards a side, 810 MB each).

  python3 make_large_pair.py OUTDIR [gaussian|decaying]      needs torch and safetensors; about a minute

gaussian: W has independent entries, whose top singular values lie close together: the slowest case.
decaying: σᵢ ~ i^-0.25, as trained matrices have it. The edit is of rank 8 plus noise in both.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

SHAPES = {
    "attention.query_key_value": (12288, 4096), "attention.dense": (4096, 4096),
    "mlp.dense_h_to_4h": (16384, 4096), "mlp.dense_4h_to_h": (4096, 16384),
}
out, spectrum = sys.argv[1], (sys.argv[2:] or ["gaussian"])[0]
torch.manual_seed(0)
sides = {"a": {}, "b": {}}
for layer in range(2):
    for name, (rows, columns) in SHAPES.items():
        w = torch.randn(rows, columns) * 0.02
        if spectrum == "decaying":
            short = min(rows, columns)
            left, right = (torch.linalg.qr(torch.randn(side, short))[0] for side in (rows, columns))
            w = (left * torch.arange(1, short + 1) ** -0.25) @ right.T * 2
        edit = torch.randn(rows, 8) @ torch.randn(8, columns) * 2e-4 + torch.randn(rows, columns) * 2e-4
        key = f"gpt_neox.layers.{layer}.{name}.weight"
        sides["a"][key], sides["b"][key] = w.bfloat16(), (w + edit).bfloat16()
for side, tensors in sides.items():
    folder = os.path.join(out, side)
    os.makedirs(folder, exist_ok=True)
    index = {}
    for layer in range(2):
        file = f"model-{layer + 1:05d}-of-00002.safetensors"
        shard = {key: tensor for key, tensor in tensors.items() if f"layers.{layer}." in key}
        save_file(shard, os.path.join(folder, file), metadata={"format": "pt"})
        index |= dict.fromkeys(shard, file)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": index}, file)
