"""Factors in few bits: rescale before rounding, and know the exact error and the exact size.

Problem: store the factors of a butterfly matrix in low precision.
Method: ``x y^T = (lambda x)(y / lambda)^T``: of all roundings that a rescaling can give, the best one; for
chains of factors, one after the other.
Guarantee: optimal for rank-one matrices and for two factors; for chains the exact error, never worse than
rounding entry by entry with ``method="auto"``; exact bit counts.
Source: Gribonval, Mary, Riccietti, *Optimal quantization of rank-one matrices in floating-point arithmetic*, 2023;
Chaumette, Gribonval, Riccietti, *CROQuant*, 2026 (complex numbers).

>>> from ailys.butterfly import hadamard_factors
>>> from ailys.quantization import quantize_chain
>>> answer = quantize_chain(hadamard_factors(64), 1)
>>> answer.bits_per_weight < 1.4, bool(answer.error < 1e-13)
(True, True)
"""

from __future__ import annotations

from typing import Any

from .bits import BitCount
from .chain import quantize_chain
from .formats import Codebook, FloatFormat, IntFormat, round_to_format
from .precision import PrecisionCurve, precision_bits_curve
from .quantized_chain import QuantizedChain
from .rank_one import RankOneQuantization, quantize_rank_one
from .storage import pack_chain, unpack_chain

__all__ = [
    "BitCount",
    "Codebook",
    "FloatFormat",
    "IntFormat",
    "PrecisionCurve",
    "QuantizedChain",
    "RankOneQuantization",
    "pack_chain",
    "precision_bits_curve",
    "quantize_chain",
    "quantize_rank_one",
    "round_to_format",
    "unpack_chain",
]


def __getattr__(name: str) -> Any:
    if name == "QuantizedButterflyLinear":  # these need PyTorch, which is optional
        from .layer import QuantizedButterflyLinear

        return QuantizedButterflyLinear
    if name in ("QuantizationReport", "quantize_module"):
        from . import module

        return getattr(module, name)
    raise AttributeError(f"module 'ailys.quantization' has no attribute {name!r}")
