#!/usr/bin/env python3
"""Makes seeds/<target>/ from ../fixtures: small valid and hostile files, cut to what each target takes.

Needs nothing but Python. Nothing is random, and a second run gives the same bytes.
"""
import hashlib
import io
import json
import shutil
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
LIMIT = 12 << 10  # bytes of one seed
TARGET = 40 << 10  # bytes of one target's seeds


class Seeds:
    def __init__(self, target):
        self.folder = HERE / "seeds" / target
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.found = {}

    def add(self, data):
        if len(data) <= LIMIT:
            self.found[hashlib.sha1(data).hexdigest()[:12]] = data

    def write(self):
        """The smallest ones that fit."""
        size = 0
        for name, data in sorted(self.found.items(), key=lambda item: (len(item[1]), item[0])):
            size += len(data)
            if size > TARGET:
                break
            (self.folder / name).write_bytes(data)


def files(*suffixes):
    for path in sorted(FIXTURES.glob("formats/*/*")) + sorted(FIXTURES.glob("hostile/*/*")) + sorted(
        FIXTURES.glob("pairs/*/*/*")
    ):
        if path.is_file() and path.name.endswith(suffixes) and path.name != "expected.json":
            yield path, path.read_bytes()


def pickles():
    seeds = Seeds("pickle")
    for _, data in files(".bin", ".pt", ".pth"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        seeds.add(archive.read(name))
        except (zipfile.BadZipFile, OSError, ValueError):
            pass
    seeds.write()


def torch():
    zipped, legacy = Seeds("torch_zip"), Seeds("torch_legacy")
    for _, data in files(".bin", ".pt", ".pth"):
        for selector in (b"\0", b"\1"):
            if data.startswith(b"PK\3\4"):
                zipped.add(selector + data[4:])
            elif data.startswith(b"\x80"):
                legacy.add(selector + data[1:])
    zipped.write()
    legacy.write()


def safetensors():
    seeds = Seeds("safetensors")
    for _, data in files(".safetensors"):
        seeds.add(b"\1" + data)
        if len(data) > 8:
            length = min(struct.unpack_from("<Q", data)[0], 0xFFFF)
            seeds.add(b"\0" + struct.pack("<H", length) + data[8:])
    seeds.write()


def json_files():
    index, config = Seeds("index"), Seeds("config")
    index.add(json.dumps({"metadata": {"total_size": 4}, "weight_map": {"w": "a", "x": "b"}}).encode())
    index.add(json.dumps({"weight_map": {"w": "a"}}).encode())
    for _, data in files(".index.json"):
        index.add(data)
    config.add(b'{"model_type": "gpt_neox", "tie_word_embeddings": true}')
    config.add(b'{"tie_word_embeddings": false, "text_config": {"model_type": "llama"}}')
    for path in sorted(FIXTURES.glob("*/*/*/config.json")) + sorted(FIXTURES.glob("hostile/*/config.json")):
        config.add(path.read_bytes())
    index.write()
    config.write()


def folders():
    seeds = Seeds("checkpoint_folder")

    def folder(selector, config, index, a, b):
        lengths = struct.pack("<3H", *(min(len(part), 0xFFFF) for part in (config, index, a)))
        seeds.add(bytes([selector]) + lengths + config + index + a + b)

    shard = lambda case, name: (FIXTURES / "formats" / case / name).read_bytes()
    small = [
        shard("safetensors_single", "model.safetensors"),
        shard("torch_zip_plain_dict", "pytorch_model.bin"),
        shard("torch_legacy_plain_dict", "pytorch_model.bin"),
        shard("torch_zip_deflated", "pytorch_model.bin"),
        shard("torch_zip_tied", "pytorch_model.bin"),
        shard("safetensors_unknown_dtype", "model.safetensors"),
    ]
    config = b'{"model_type": "gpt_neox", "tie_word_embeddings": true}'

    def mini(name):
        header = json.dumps({name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
        return struct.pack("<Q", len(header)) + header + bytes(range(16))

    both = json.dumps({"weight_map": {"w": "a", "x": "b"}}).encode()
    for selector in range(32):
        folder(selector, config, both, mini("w"), mini("x"))
    for number, a in enumerate(small):
        for selector in (2, 4, 18, 20):
            folder(selector, config, b"", a, b"")
        folder(0, config, b'{"weight_map": {"x": "b"}}', a, mini("x"))
        folder(number % 2, b"", b'{"weight_map": {"x": "b", "y": "a"}}', a, mini("x"))
    seeds.write()


FAMILIES = ("llama", "gpt_neox", "gpt2", "gemma3_text", "mixtral", "falcon_new", "bloom", "phi3_longrope")


def model_configs():
    seeds = Seeds("model_config")
    for number, family in enumerate(FAMILIES):
        for path in sorted((FIXTURES / "activations" / "families").glob(f"{family}*/config*.json")):
            seeds.add(bytes([number]) + path.read_bytes())
    seeds.write()


if __name__ == "__main__":
    pickles()
    torch()
    safetensors()
    json_files()
    folders()
    model_configs()
    for folder in sorted((HERE / "seeds").iterdir()):
        sizes = [path.stat().st_size for path in folder.iterdir()]
        print(f"{folder.name}: {len(sizes)} seeds, {sum(sizes)} bytes")
