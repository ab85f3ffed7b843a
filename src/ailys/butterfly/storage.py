"""Factorizations in safetensors files: factors as tensors, chain and certificate in the metadata.

Tensors ``factor.0 ... factor.{L-1}`` have the layout (a, b, c, d); complex ones carry a last axis
(real, imaginary). ``perm`` holds the column permutation. Any reader of safetensors can open them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import atomic_write, check_version, parse_json, read_tensors
from .architecture import Chain
from .factorization import ButterflyFactorization
from .operator import checked_frame

__all__ = ["load", "save"]

_FORMAT = "ailys.butterfly"
_VERSION = 1


def save(answer: ButterflyFactorization, path: Path) -> Path:
    """Write a factorization; the certificate is computed if it has not been yet."""
    from safetensors.numpy import save_file

    tensors = {f"factor.{i}": _as_real(x) for i, x in enumerate(answer.factors)}
    if answer.perm is not None:
        tensors["perm"] = np.asarray(answer.perm, np.int64)
    record = {
        "version": _VERSION,
        "chain": [list(p) for p in answer.chain],
        "shape": list(answer.shape),
        "dtype": answer.factors[0].dtype.name,
        "order": answer.order,
        "centre": answer.centre,
        "weighted": answer.weighted,
        "sweeps": answer.sweeps,
        "notes": list(answer.notes),
        "step_errors": answer.step_errors.tolist(),
        "split_errors": answer.split_errors.tolist() if len(answer.chain) > 1 else [],
        "unweighted_error": answer.unweighted_error if answer.weighted else None,
        "error": answer.error,
        "norm": answer.norm,
        "outside": answer.outside,
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={_FORMAT: json.dumps(record)})
    return path


def load(path: Path) -> ButterflyFactorization:
    """Read a factorization; a file that is not one gets a sentence that names it."""
    tensors, text = read_tensors(path, _FORMAT, "butterfly factorization")
    try:
        record: dict[str, Any] = parse_json(text)
        check_version(record, _VERSION)
        dtype = record["dtype"]
        chain = Chain(record["chain"])
        factors = tuple(_as_stored(tensors[f"factor.{i}"], dtype) for i in range(len(chain)))
        for i, (x, p) in enumerate(zip(factors, chain, strict=True)):
            if x.shape != tuple(p):
                raise ValueError(f"factor.{i} has shape {x.shape}, the chain in the metadata says {tuple(p)}")
        shape = checked_frame(tuple(record["shape"]), tensors.get("perm"), chain)
        _check_ranges(record, len(chain))
        answer = ButterflyFactorization(
            factors=factors,
            chain=chain,
            shape=shape,
            perm=tensors.get("perm"),
            order=record["order"],
            centre=int(record["centre"]),
            step_errors=np.array(record["step_errors"], float),
            weighted=record["weighted"],
            sweeps=record["sweeps"],
            notes=tuple(record["notes"]),
            _splits=np.array(record["split_errors"], float),
            _unweighted=record["unweighted_error"],
            error=float(record["error"]),
            norm=float(record["norm"]),
            outside=float(record["outside"]),
        )
        answer.lower_bound  # noqa: B018  (raises if the record contradicts itself)
        return answer
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, json.JSONDecodeError) as fault:
        raise ValueError(f"{path}: the metadata of the butterfly factorization is damaged ({fault})") from fault
    except (ValueError, RuntimeError) as fault:
        raise ValueError(f"{path}: {fault}") from fault


def _check_ranges(record: dict[str, Any], depth: int) -> None:
    """Numbers that no certificate has are refused."""
    splits, steps, plain = record["split_errors"], record["step_errors"], record["unweighted_error"]
    numbers = {name: record[name] for name in ("error", "norm", "outside")}
    numbers |= {f"split_errors[{i}]": value for i, value in enumerate(splits)}
    numbers |= {f"step_errors[{i}]": value for i, value in enumerate(steps)}
    numbers |= {} if plain is None else {"unweighted_error": plain}
    for name, value in numbers.items():
        if isinstance(value, (bool, str)) or not 0 <= float(value) < np.inf:
            raise ValueError(f"{name} is {value!r} in the metadata; expected a finite number >= 0")
    if len(splits) != depth - 1:
        raise ValueError(f"{len(splits)} split errors in the metadata for {depth} factors")
    if not isinstance(record["weighted"], bool) or record["weighted"] != (plain is not None):
        raise ValueError("the metadata must say 'weighted' exactly if there is an unweighted error")
    for name, low, high in (("centre", 0, depth - 1), ("sweeps", 0, None)):
        value = record[name]
        if type(value) is not int or value < low or (high is not None and value > high):
            raise ValueError(f"{name} is {value!r} in the metadata; expected a whole number in its range")
    if not isinstance(record["order"], str) or not all(isinstance(note, str) for note in record["notes"]):
        raise ValueError("order and notes must be text in the metadata")


def _as_real(x: np.ndarray) -> np.ndarray:
    if x.dtype.kind == "c":
        return np.ascontiguousarray(np.stack([x.real, x.imag], axis=-1))
    return np.ascontiguousarray(x)


def _as_stored(x: np.ndarray, dtype: str) -> np.ndarray:
    if dtype.startswith("complex"):
        return np.ascontiguousarray(x[..., 0] + 1j * x[..., 1]).astype(dtype)
    return x
