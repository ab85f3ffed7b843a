"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

import numpy as np
from safetensors.numpy import save_file

from ailys.compression.files import compress_file


def _weights(folder):
    rng = np.random.default_rng(0)
    shapes = {"encoder.0.dense.weight": (16, 8), "encoder.1.dense.weight": (8, 16), "norm.weight": (8,)}
    save_file({n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}, folder / "weights.safetensors")


def compress(folder):
    _weights(folder)
    return [
        ["weights.safetensors", "--budget", "0.6", "--layers", "encoder.*", "--out", "small.safetensors"],
        ["weights.safetensors", "--max-error", "0.7", "--architecture", "monarch", "--allocate", "uniform",
         "--out", "small.safetensors", "--json"],
    ]  # fmt: skip


def report(folder):
    _weights(folder)
    compress_file(folder / "weights.safetensors", folder / "small.safetensors", budget=0.6)
    return [["small.safetensors", "--plot", "layers.png"], ["small.safetensors", "--json"]]


SAMPLES = {"compress": compress, "report": report}
