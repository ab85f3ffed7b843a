"""Packed factors in safetensors files: one stream of bytes, and a record that says how to read it.

`pack_chain` and `unpack_chain` are for programs that keep several chains in a file of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..butterfly import Chain
from ..core.files import atomic_write
from .formats import format_from_dict
from .packing import Code, pack, packed_size, unpack
from .quantized_chain import QuantizedChain

__all__ = ["load", "pack_chain", "save", "unpack_chain"]

Array = np.ndarray
_FORMAT = "ailys.quantization"
_VERSION = 1


def pack_chain(answer: QuantizedChain) -> tuple[dict[str, Array], dict[str, Any]]:
    """Named tensors (``packed``: uint8; ``perm`` if there is one) and a record for JSON.

    Examples
    --------
    >>> from ailys.butterfly import hadamard_factors
    >>> from ailys.quantization import quantize_chain
    >>> answer = quantize_chain(hadamard_factors(16), 1)
    >>> tensors, record = pack_chain(answer)
    >>> tensors["packed"].nbytes  # 4 factors of 32 signs
    16
    >>> bool((unpack_chain(tensors, record).factors[0] == answer.factors[0]).all())
    True
    """
    codes = answer.codes
    streams = [pack(x, code) for x, code in zip(answer.factors, codes, strict=True)]
    formats: list[dict[str, Any]] = []
    places = []
    for fmt in answer.formats:
        described = fmt.to_dict()
        if described not in formats:
            formats.append(described)
        places.append(formats.index(described))
    record = {
        "version": _VERSION,
        "library": __version__,
        "chain": [list(p) for p in answer.chain],
        "shape": list(answer.shape),
        "complex": answer.factors[0].dtype.kind == "c",
        "formats": formats,
        "format": places if any(places) else 0,
        "codes": [code.to_list() for code in codes],
        "scale": answer.scale,
        "error": answer.error,
        "error_rtn": answer.error_rtn,
        "error_kind": answer.error_kind,
        "method": answer.method,
        "excess": answer.excess,
        "errors": dict(answer.errors),
    }
    tensors = {"packed": np.concatenate(streams)}
    if answer.perm is not None:
        tensors["perm"] = np.asarray(answer.perm, np.int64)
    return tensors, record


def unpack_chain(tensors: dict[str, Array], record: dict[str, Any]) -> QuantizedChain:
    """The chain that `pack_chain` described; ValueError if the two do not fit together."""
    try:
        if record["version"] > _VERSION:
            raise ValueError(f"written by a newer version of ailys (format {record['version']}); update ailys")
        chain = Chain(record["chain"])
        described = [format_from_dict(one) for one in record["formats"]]
        places = record["format"] or [0] * len(chain)
        formats = tuple(described[place] for place in places)
        is_complex = bool(record["complex"])
        stream, perm = np.asarray(tensors["packed"]), tensors.get("perm")
        if stream.dtype != np.uint8 or stream.ndim != 1:
            raise ValueError("the packed factors must be a vector of bytes")
        factors, start = [], 0
        for pattern, fmt, (t, exponent_bits, least, zero, table) in zip(chain, formats, record["codes"], strict=True):
            code = Code(table=fmt) if table else Code(int(t), int(exponent_bits), int(least), bool(zero))
            if not 1 <= code.width <= 64:
                raise ValueError(f"entries of {code.width} bits")
            size = packed_size(pattern.n_params * (2 if is_complex else 1), code.width)
            factors.append(unpack(stream[start : start + size], code, tuple(pattern), is_complex))
            start += size
        if start != stream.size:
            raise ValueError(f"the factors take {start} bytes, the file holds {stream.size}")
        shape = int(record["shape"][0]), int(record["shape"][1])
        if perm is not None and not np.array_equal(np.sort(perm), np.arange(chain.shape[1])):
            raise ValueError("perm must hold each column number once")
        return QuantizedChain(
            factors=tuple(factors),
            scale=float(record["scale"]),
            formats=formats,
            chain=chain,
            error=float(record["error"]),
            error_rtn=float(record["error_rtn"]),
            error_kind=str(record["error_kind"]),
            method=str(record["method"]),
            excess=record["excess"] if record["excess"] is None else float(record["excess"]),
            perm=perm,
            shape=shape,
            errors=dict(record["errors"]),
        )
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as fault:
        raise ValueError(f"the record of the quantized chain is damaged ({fault})") from fault


def save(answer: QuantizedChain, path: Path) -> Path:
    """Write a quantized chain."""
    from safetensors.numpy import save_file

    tensors, record = pack_chain(answer)
    text = json.dumps(record, separators=(",", ":"))
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={_FORMAT: text})
    return path


def load(path: Path) -> QuantizedChain:
    """Read a quantized chain; a file that is not one gets a sentence that names it."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_FORMAT)
            tensors = {name: file.get_tensor(name) for name in file.keys()} if text else {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as fault:
        raise ValueError(f"{path}: not a safetensors file, or cut short ({fault})") from fault
    if text is None:
        raise ValueError(f"{path}: a safetensors file, but not a quantized chain (no {_FORMAT!r} metadata)")
    try:
        return unpack_chain(tensors, json.loads(text))
    except json.JSONDecodeError as fault:
        raise ValueError(f"{path}: the metadata of the quantized chain is damaged ({fault})") from fault
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from fault
