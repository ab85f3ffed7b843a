"""Packed factors in safetensors files: one stream of bytes, and a record that says how to read it.

`pack_chain` and `unpack_chain` are for programs that keep several chains in a file of their own.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..butterfly import Chain
from ..core.files import atomic_write, check_version, parse_json, read_tensors
from .chain import METHODS
from .formats import Codebook, Format, IntFormat, format_from_dict
from .packing import Code, pack, packed_size, unpack
from .quantized_chain import QuantizedChain

__all__ = ["load", "pack_chain", "save", "unpack_chain"]

Array = np.ndarray
_FORMAT = "ailys.quantization"
_VERSION = 2  # 2: codebooks as doubles behind the factors, a checksum
_KINDS = ("exact", "upper", "estimate")


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
    distinct = list(dict.fromkeys(answer.formats))
    places = [distinct.index(fmt) for fmt in answer.formats]
    # the values of codebooks follow the factors, 64 bits each
    streams += [fmt.levels.astype("<f8").view(np.uint8) for fmt in distinct if _is_table(fmt)]  # type: ignore[union-attr]
    record = {
        "version": _VERSION,
        "library": __version__,
        "chain": [list(p) for p in answer.chain],
        "shape": list(answer.shape),
        "complex": answer.factors[0].dtype.kind == "c",
        "formats": [{"table": len(fmt.values)} if _is_table(fmt) else fmt.to_dict() for fmt in distinct],  # type: ignore[union-attr]
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
    record["checksum"] = _checksum(tensors, record)
    return tensors, record


def _is_table(fmt: Format) -> bool:
    return isinstance(fmt, Codebook) and not isinstance(fmt, IntFormat)


def _checksum(tensors: dict[str, Array], record: dict[str, Any]) -> int:
    """CRC-32 of the record, written in one way only, and of the tensors."""
    rest = {key: value for key, value in record.items() if key != "checksum"}
    crc = zlib.crc32(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())
    for name in ("packed", "perm"):
        if tensors.get(name) is not None:
            crc = zlib.crc32(np.asarray(tensors[name]).tobytes(), crc)
    return crc


def unpack_chain(tensors: dict[str, Array], record: dict[str, Any]) -> QuantizedChain:
    """The chain that `pack_chain` described.

    Parameters
    ----------
    tensors : ``packed`` (uint8), and ``perm`` if there is one
    record : what `pack_chain` returned with them, also after a journey through JSON

    Raises
    ------
    ValueError
        If the two do not fit together, or the record is of a newer version.
    """
    try:
        check_version(record, _VERSION)
        chain = Chain(record["chain"])
        is_complex = bool(record["complex"])
        stream, perm = np.asarray(tensors["packed"]), tensors.get("perm")
        if stream.dtype != np.uint8 or stream.ndim != 1:
            raise ValueError("the packed factors must be a vector of bytes")
        described, tables = _described(record["formats"], stream)
        places = record["format"] or [0] * len(chain)
        if min(places) < 0:
            raise ValueError("a factor has no format")
        formats = tuple(described[place] for place in places)
        factors, start = [], 0
        for pattern, fmt, (t, exponent_bits, least, zero, table) in zip(chain, formats, record["codes"], strict=True):
            code = Code(table=fmt) if table else Code(int(t), int(exponent_bits), int(least), bool(zero))
            if not 1 <= code.width <= 64:
                raise ValueError(f"entries of {code.width} bits")
            if bool(table) != (fmt.levels is not None) or not (
                table or (0 <= code.exponent_bits <= 12 and code.t == fmt.t)
            ):  # type: ignore[union-attr]
                raise ValueError(f"a factor in the format {fmt} is not written in that way")
            if not -1100 <= code.least <= 1100:
                raise ValueError(f"a factor with exponents from {code.least} up")
            size = packed_size(pattern.n_params * (2 if is_complex else 1), code.width)
            factors.append(unpack(stream[start : start + size], code, tuple(pattern), is_complex))
            start += size
        if start + tables != stream.size:
            raise ValueError(f"the factors and tables take {start + tables} bytes, the file holds {stream.size}")
        if perm is not None and (
            perm.dtype.kind != "i" or not np.array_equal(np.sort(perm), np.arange(chain.shape[1]))
        ):
            raise ValueError("perm must hold each column number once")
        if record["version"] > 1 and record["checksum"] != _checksum(tensors, record):
            raise ValueError("the checksum does not fit: some of the bytes have changed since they were written")
        _check_ranges(record, chain)
        shape = int(record["shape"][0]), int(record["shape"][1])
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


def _described(records: list[dict[str, Any]], stream: Array) -> tuple[list[Format], int]:
    """The formats, and the bytes that the tables of codebooks take at the end of the stream."""
    sizes = [int(one["table"]) if "table" in one else 0 for one in records]
    total = 8 * sum(sizes)
    if min(sizes) < 0 or total > stream.size:
        raise ValueError(f"the tables of the codebooks take {total} bytes, the file holds {stream.size}")
    values = stream[stream.size - total :].copy().view("<f8")
    formats: list[Format] = []
    start = 0
    for one, size in zip(records, sizes, strict=True):
        formats.append(Codebook(values[start : start + size]) if "table" in one else format_from_dict(one))
        start += size
    return formats, total


def _check_ranges(record: dict[str, Any], chain: Chain) -> None:
    """Numbers that no quantized chain has are refused, whoever wrote them."""
    excess, method, shape = record["excess"], str(record["method"]), [int(size) for size in record["shape"]]
    errors = {"error": record["error"], "error_rtn": record["error_rtn"], **record["errors"]}
    for name, value in errors.items():
        if not 0 <= float(value) < np.inf:
            raise ValueError(f"the error {name!r} is {value!r}; expected a finite number >= 0")
    if not np.isfinite(float(record["scale"])):
        raise ValueError(f"the scale is {record['scale']!r}; expected a finite number")
    if excess is not None and not 1 <= float(excess) < np.inf:
        raise ValueError(f"excess is {excess!r}; expected a number >= 1 or nothing")
    if record["error_kind"] not in _KINDS or (excess is not None and record["error_kind"] != "exact"):
        raise ValueError(f"error_kind is {record['error_kind']!r}; expected one of {', '.join(_KINDS)}")
    if method not in METHODS:
        raise ValueError(f"the method is {method!r}; expected one of {', '.join(METHODS)}")
    if len(shape) != 2 or not all(1 <= size <= most for size, most in zip(shape, chain.shape, strict=True)):
        raise ValueError(f"a matrix of shape {shape} from a chain of shape {chain.shape}")


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
    tensors, text = read_tensors(path, _FORMAT, "quantized chain")
    try:
        return unpack_chain(tensors, parse_json(text))
    except (json.JSONDecodeError, RecursionError) as fault:
        raise ValueError(f"{path}: the metadata of the quantized chain is damaged ({fault})") from fault
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from fault
