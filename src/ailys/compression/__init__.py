"""Trained networks made smaller: dense layers replaced by butterfly layers, with the error of every layer.

Problem: a trained PyTorch network that is too big.
Method: each dense matrix becomes a product of sparse butterfly factors (low rank and Monarch matrices among them), chosen
within a budget that is shared among the layers; second moments of the layers' inputs weigh the errors.
Guarantee: each layer comes with its error, a lower bound of the smallest error possible for its architecture, and their
ratio; layers that cannot be replaced are left untouched, with the reason.
Source: Le, Zheng, Riccietti, Gribonval 2025; Dao et al., *Monarch*, ICML 2022.

>>> import torch
>>> from ailys.compression import ButterflyLinear, compress
>>> network = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
>>> result = compress(network, budget=0.5)
>>> result.params_before, result.params_after <= 9472
(18944, True)
"""

from __future__ import annotations

import importlib
from typing import Any

from .report import CompressionResult, LayerReport

# what needs PyTorch, which is optional, and where it is
_TORCH = {
    "ButterflyConv2d": "layers",
    "ButterflyLinear": "layers",
    "ButterflyParametrization": "layers",
    "Distillation": "distillation",
    "Sensitivity": "sensitivities",
    "chain_linear": "chain_product",
    "compress": "replacement",
    "distill": "distillation",
    "export_onnx": "export",
    "load_compressed": "storage",
    "save_compressed": "storage",
    "sensitivity": "sensitivities",
}

__all__ = ["CompressionResult", "LayerReport", *_TORCH]


def __getattr__(name: str) -> Any:
    if name in _TORCH:
        value = getattr(importlib.import_module(f".{_TORCH[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ailys.compression' has no attribute {name!r}")
