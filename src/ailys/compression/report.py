"""What a compression says of each layer and of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..butterfly.architecture import Chain
from ..core.answer import Answer
from ..core.guarantee import Guarantee

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CompressionResult", "LayerReport", "table_rows", "total_guarantee"]


@dataclass(frozen=True)
class LayerReport:
    """What became of a layer.

    Attributes
    ----------
    name, kind, shape : qualified name, "linear" or "conv2d", shape of its matrix
    chain : the architecture, or None if it was kept
    relative_error, lower_bound : error and the smallest one possible for the architecture (at least), both relative
        to the norm of the matrix, in the weighted norm if ``weighted``
    ratio : error over lower bound; 1 means that nobody can do better
    guarantee : what is proved about the factorization
    weighted : whether moments of the input weighed the error
    params_before, params_after : numbers of weights, without the bias
    itemsize : bytes of a weight
    replaced : whether the layer was replaced; ``reason`` says why not
    output_error : for calibrated layers, relative root mean square error of the output on the calibration data, around
        its mean where the layer has a bias (the small ridge on the moments included)
    eligible : whether it could have been replaced at all; only such layers count in the budget
    """

    name: str
    kind: str
    shape: tuple[int, int]
    chain: Chain | None
    relative_error: float
    lower_bound: float
    ratio: float
    guarantee: Guarantee | None
    weighted: bool
    params_before: int
    params_after: int
    itemsize: int
    replaced: bool
    reason: str
    output_error: float | None = None
    eligible: bool = True

    @property
    def flops_before(self) -> int:
        """Additions and multiplications for one input vector of the dense layer."""
        return 2 * self.params_before

    @property
    def flops_after(self) -> int:
        """The same for the layer now in its place."""
        return 2 * self.params_after

    def to_dict(self) -> dict[str, Any]:
        """Machine-readable form."""
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "chain": None if self.chain is None else [list(p) for p in self.chain],
            "relative_error": self.relative_error,
            "lower_bound": self.lower_bound,
            "ratio": self.ratio,
            "guarantee": self.guarantee.to_dict() if self.guarantee else None,
            "weighted": self.weighted,
            "params_before": self.params_before,
            "params_after": self.params_after,
            "itemsize": self.itemsize,
            "flops_before": self.flops_before,
            "flops_after": self.flops_after,
            "replaced": self.replaced,
            "reason": self.reason,
            "output_error": self.output_error,
            "eligible": self.eligible,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> LayerReport:
        """The report written by `to_dict`."""
        given = record["guarantee"]
        for name in ("params_before", "params_after", "itemsize"):
            if int(record[name]) < 1:
                raise ValueError(
                    f"{name} of layer {record['name']!r} is {record[name]!r}; expected a whole number >= 1"
                )
        return cls(
            name=str(record["name"]),
            kind=str(record["kind"]),
            shape=(int(record["shape"][0]), int(record["shape"][1])),
            chain=None if record["chain"] is None else Chain(record["chain"]),
            relative_error=float(record["relative_error"]),
            lower_bound=float(record["lower_bound"]),
            ratio=float(record["ratio"]),
            guarantee=None if given is None else Guarantee(**given),
            weighted=bool(record["weighted"]),
            params_before=int(record["params_before"]),
            params_after=int(record["params_after"]),
            itemsize=int(record["itemsize"]),
            replaced=bool(record["replaced"]),
            reason=str(record["reason"]),
            output_error=None if record["output_error"] is None else float(record["output_error"]),
            eligible=bool(record["eligible"]),
        )


def table_rows(layers: tuple[LayerReport, ...]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of the table of layers, for a person."""
    columns = ("layer", "shape", "chain", "weights", "of dense", "error", "best possible", "ratio")
    rows: list[tuple[Any, ...]] = []
    for layer in layers:
        shape = "x".join(map(str, layer.shape))
        if layer.replaced:
            rows.append(
                (
                    layer.name,
                    shape,
                    str(layer.chain),
                    layer.params_after,
                    f"{100 * layer.params_after / layer.params_before:.3g} %",
                    layer.relative_error,
                    layer.lower_bound,
                    layer.ratio,
                )
            )
        else:
            rows.append((layer.name, shape, f"kept: {layer.reason}", layer.params_after, "100 %", "-", "-", "-"))
    return columns, rows


def total_guarantee(layers: tuple[LayerReport, ...]) -> Guarantee | None:
    """The guarantee of the whole: that of the worst of its layers."""
    replaced = [layer for layer in layers if layer.replaced]
    if not replaced:
        return None
    worst = max(replaced, key=lambda layer: layer.ratio)
    norm = "weighted norm of its matrix" if any(layer.weighted for layer in replaced) else "norm of its matrix"
    which = "the replaced layer" if len(replaced) == 1 else f"each of the {len(replaced)} replaced layers"
    smallest = "the smallest error possible for its architecture"
    reach = f"has {smallest}" if worst.ratio <= 1 + 1e-6 else f"is within {worst.ratio:.4g} times {smallest}"
    text = f"{which} {reach}, relative to the {norm}; all other layers are untouched"
    unit = np.finfo(np.float64 if all(layer.itemsize == 8 for layer in replaced) else np.float32).eps
    return Guarantee(
        "error-bound",
        text,
        float(worst.ratio),
        {"largest_relative_error": max(layer.relative_error for layer in replaced), "n_replaced": float(len(replaced))},
        (
            f"exact arithmetic: rounding adds about {unit:.1e} times the norm",
            "nothing is claimed about the output of the network",
        ),
        "docs, compression, section 'What is guaranteed'",
    )


@dataclass(frozen=True, eq=False)
class CompressionResult(Answer):
    """A network with butterfly layers in place of dense ones.

    Attributes
    ----------
    model : the compressed network
    layers : a `LayerReport` for each selected layer
    budget : weights allowed for the selected layers, or None
    total_error : root of the sum of the squared relative errors of the layers
    allocation_gap : how far the sum that was minimised (see ``allocate`` of `compress`) is, at most, from the smallest
        one that any sharing of the budget among the options reaches: its distance to the Lagrangian bound
    drift : relative root mean square change of the output, measured on the first two batches of the calibration, or None
    model_params : parameters of the whole network before and after
    """

    model: Any
    layers: tuple[LayerReport, ...]
    budget: int | None
    total_error: float
    allocation_gap: float
    drift: float | None
    model_params: tuple[int, int]

    @property
    def params_before(self) -> int:
        """Weights of the selected layers that could be replaced, before."""
        return sum(layer.params_before for layer in self._counted)

    @property
    def params_after(self) -> int:
        """Weights of the same layers now."""
        return sum(layer.params_after for layer in self._counted)

    @property
    def bytes_before(self) -> int:
        """Bytes of these weights, before."""
        return sum(layer.params_before * layer.itemsize for layer in self._counted)

    @property
    def bytes_after(self) -> int:
        """Bytes of these weights now."""
        return sum(layer.params_after * layer.itemsize for layer in self._counted)

    @property
    def flops_before(self) -> int:
        """Operations of these layers for one input vector each, before."""
        return 2 * self.params_before

    @property
    def flops_after(self) -> int:
        """Operations of these layers for one input vector each, now."""
        return 2 * self.params_after

    @property
    def _counted(self) -> tuple[LayerReport, ...]:
        return tuple(layer for layer in self.layers if layer.eligible)

    @property
    def guarantee(self) -> Guarantee | None:
        """How far each layer can be from the best one of its architecture."""
        return total_guarantee(self.layers)

    def facts(self) -> Mapping[str, Any]:
        """Sizes, errors and the layers."""
        return {
            "replaced": sum(layer.replaced for layer in self.layers),
            "selected": len(self.layers),
            "params_before": self.params_before,
            "params_after": self.params_after,
            "fraction": self.params_after / self.params_before if self.params_before else 1.0,
            "budget": self.budget,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "flops_before": self.flops_before,
            "flops_after": self.flops_after,
            "model_params_before": self.model_params[0],
            "model_params_after": self.model_params[1],
            "total_error": self.total_error,
            "allocation_gap": self.allocation_gap,
            "drift": self.drift,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def table(self) -> str:
        """The layers as text, a line each."""
        columns, rows = table_rows(self.layers)
        cells = [columns, *([f"{c:.3g}" if isinstance(c, float) else str(c) for c in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Error, lower bound and share of the weights of each layer."""
        from .plots import plot_layers

        return plot_layers(self.layers, ax)

    def save(self, path: str | Path) -> Path:
        """Write the network to a safetensors file; see `save_compressed`.

        Raises
        ------
        ValueError
            The name does not end in .safetensors, or the state of the network holds something that is no tensor.
        OSError
            The path cannot be written; a file that is there stays as it was.
        """
        from .storage import save_compressed

        return save_compressed(self.model, path, layers=self.layers)
