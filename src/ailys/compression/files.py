"""Compression of the 2-D weights in a safetensors file, without the network's code and without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..butterfly.architecture import Chain
from ..core.answer import Answer
from ..core.files import open_tensors
from ..core.guarantee import Guarantee
from .balance import balanced
from .plan import Layer, make_plan
from .report import LayerReport, total_guarantee
from .storage import Record, names_like, read_record, write_record

__all__ = ["CompressedFile", "compress_file", "read_compressed"]

_REAL = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, eq=False)
class CompressedFile(Answer):
    """What a file of a compressed network holds.

    Attributes
    ----------
    layers : a `LayerReport` for each layer that was selected
    params_before, params_after : numbers stored in the whole file, before and after
    budget, total_error, allocation_gap : as in `CompressionResult`; None when read from a file
    """

    layers: tuple[LayerReport, ...]
    params_before: int
    params_after: int
    budget: int | None = None
    total_error: float | None = None
    allocation_gap: float | None = None

    @property
    def guarantee(self) -> Guarantee | None:
        """How far each layer can be from the best one of its architecture."""
        return total_guarantee(self.layers)

    def facts(self) -> Mapping[str, Any]:
        """Sizes, errors and the layers."""
        eligible = [layer for layer in self.layers if layer.eligible]
        before, after = (sum(getattr(layer, f"params_{when}") for layer in eligible) for when in ("before", "after"))
        facts: dict[str, Any] = {
            "replaced": sum(layer.replaced for layer in self.layers),
            "selected": len(self.layers),
            "selected_params_before": before,
            "selected_params_after": after,
            "fraction": after / before if before else 1.0,
            "params_before": self.params_before,
            "params_after": self.params_after,
        }
        if self.total_error is not None:
            facts |= {"budget": self.budget, "total_error": self.total_error, "allocation_gap": self.allocation_gap}
        return {**facts, "layers": [layer.to_dict() for layer in self.layers]}


def compress_file(
    source: str | Path,
    target: str | Path,
    *,
    budget: float | int | None = None,
    max_error: float | None = None,
    layers: Sequence[str] | str | None = None,
    architecture: Any = "auto",
    allocate: str = "global",
    on_step: Callable[[str], None] = lambda name: None,
) -> CompressedFile:
    """Replace 2-D weights in a safetensors file by butterfly factors, and write a file that `load_compressed` reads.

    Parameters
    ----------
    source, target : .safetensors files
    budget, max_error, architecture, allocate : as for `compress`
    layers : glob patterns of layer names ("encoder.*.dense") or of tensor names; None for all 2-D weights but those
        whose name speaks of an embedding, which is a table and not a layer

    Raises
    ------
    ValueError
        A file that is not safetensors or is compressed already, a pattern that matches nothing, a budget out of range.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise ValueError(f"{target}: the result is a .safetensors file; give a name that ends so")
    with open_tensors(source) as file:
        metadata = file.metadata() or {}
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    if "ailys.compression" in metadata:
        raise ValueError(f"{source}: this network is compressed already; start from the original")
    tensors = _read_all(source)
    matrices = [name for name, (shape, _) in shapes.items() if name.endswith("weight") and len(shape) == 2]
    plan = make_plan(
        [_layer(name, tensors[name], shapes[name][1]) for name in _chosen(source, matrices, layers)],
        budget=budget,
        max_error=max_error,
        architecture=architecture,
        allocate=allocate,
        on_step=on_step,
    )
    before = sum(array.size for array in tensors.values())
    modules = {}
    for name, answer in plan.answers.items():
        kind = tensors.pop(_weight_of(name)).dtype
        modules[name] = {"kind": "linear", "chain": [list(p) for p in answer.chain], "perm": False}
        for i, factor in enumerate(balanced(answer.factors)):
            tensors[f"{name}.factors.{i}" if name else f"factors.{i}"] = np.ascontiguousarray(factor.astype(kind))
    write_record(target, tensors, Record(modules, {}, plan.reports), metadata)
    after = sum(array.size for array in tensors.values())
    return CompressedFile(plan.reports, before, after, plan.budget, plan.total_error, plan.allocation_gap)


def read_compressed(path: str | Path) -> CompressedFile:
    """What a file written by `save_compressed` or `compress_file` says of its layers."""
    path = Path(path)
    record, names = read_record(path)
    with open_tensors(path) as file:
        after = sum(int(np.prod(file.get_slice(name).get_shape())) for name in names)
    saved = sum(layer.params_before - layer.params_after for layer in record.layers)
    layers = record.layers or tuple(
        _bare(name, entry["chain"], entry["kind"]) for name, entry in record.modules.items()
    )
    return CompressedFile(layers, after + saved, after)


def _bare(name: str, chain: Chain, kind: str) -> LayerReport:
    """What is known of a layer that was saved without its report."""
    dense = chain.shape[0] * chain.shape[1]
    unknown = float("nan")
    return LayerReport(
        name,
        kind,
        chain.shape,
        chain,
        unknown,
        unknown,
        unknown,
        None,
        False,
        dense,
        chain.n_params,
        4,
        True,
        "saved without its report",
    )


def _read_all(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as fault:
        raise ValueError(f"{path}: cannot read its tensors ({fault})") from fault


def _chosen(source: Path, matrices: Sequence[str], layers: Sequence[str] | str | None) -> list[str]:
    """Names of the weights to compress."""
    if not matrices:
        raise ValueError(f"{source}: no 2-D tensor named '...weight' in this file")
    if layers is None:
        found = [name for name in matrices if "embed" not in name.lower()]
        if not found:
            raise ValueError(f"{source}: all 2-D weights are embeddings; name the ones to compress with layers")
        return found
    chosen: dict[str, None] = {}
    for pattern in [layers] if isinstance(layers, str) else layers:
        matching = [name for name in matrices if fnmatchcase(name, pattern) or fnmatchcase(_module_of(name), pattern)]
        if not matching:
            some = names_like([_module_of(name) for name in matrices])
            raise ValueError(f"no 2-D weight matches {pattern!r}; names look like {some}")
        chosen.update(dict.fromkeys(matching))
    return [name for name in matrices if name in chosen]


def _module_of(weight: str) -> str:
    return weight.removesuffix("weight").rstrip(".")


def _weight_of(module: str) -> str:
    return f"{module}.weight" if module else "weight"


def _layer(name: str, matrix: np.ndarray, kind: str) -> Layer:
    reason = ""
    if kind not in _REAL:
        reason = f"the weight is of type {kind}; only floating-point weights are factorized"
    elif min(matrix.shape) < 2:
        reason = "a matrix with one row or column has nothing to factorize"
    elif not np.isfinite(matrix.astype(np.float32) if matrix.dtype == ml_dtypes.bfloat16 else matrix).all():
        reason = "the weight has NaN or infinite entries"
    shape = int(matrix.shape[0]), int(matrix.shape[1])
    narrow = matrix.dtype.itemsize == 2
    read = (lambda: matrix.astype(np.float32)) if narrow else (lambda: matrix)
    kept = matrix.dtype if narrow else None
    return Layer(_module_of(name), "linear", shape, matrix.dtype.itemsize, read, None, reason, kept)
