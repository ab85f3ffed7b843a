"""`quantize_module`: every butterfly layer of a network in few bits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from ..core.answer import Answer
from ..core.guarantee import Guarantee
from ..core.optional import require
from .layer import QuantizedButterflyLinear

torch = require("torch", extra="networks", purpose="quantize_module")

__all__ = ["LayerReport", "QuantizationReport", "quantize_module"]


@dataclass(frozen=True)
class LayerReport:
    """One layer: relative error of its matrix, bits of its factors before and after."""

    name: str
    error: float
    error_rtn: float
    error_kind: str
    method: str
    bits_before: int
    bits: int


@dataclass(frozen=True)
class QuantizationReport(Answer):
    """What `quantize_module` did.

    Attributes
    ----------
    layers : a report for each quantized layer
    bytes_before, bytes_after : parameters and buffers of the whole network
    """

    layers: tuple[LayerReport, ...]
    bytes_before: int
    bytes_after: int

    def facts(self) -> Mapping[str, Any]:
        """Layers, errors, sizes."""
        return {
            "quantized_layers": len(self.layers),
            "largest_error": max(layer.error for layer in self.layers),
            "bits_before": sum(layer.bits_before for layer in self.layers),
            "bits": sum(layer.bits for layer in self.layers),
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "layers": [vars(layer) for layer in self.layers],
        }

    @property
    def guarantee(self) -> Guarantee | None:
        """The exact error of each layer."""
        if any(layer.error_kind != "exact" for layer in self.layers):
            return None
        worst = max(self.layers, key=lambda layer: layer.error)
        return Guarantee(
            "exact-error",
            f"the matrix of each layer is known to its exact relative error, {worst.error:.4g} at most ({worst.name}); "
            "nothing is said about the loss of the network: measure it",
            worst.error,
            {layer.name: layer.error for layer in self.layers},
            ("exact arithmetic",),
            "docs, quantization, section 'What is guaranteed'",
        )


def quantize_module(
    module: Any,
    fmt: Any,
    *,
    method: str = "auto",
    include: str | Iterable[str] | Callable[[str, Any], bool] | None = None,
    beam: int = 16,
    cache: bool = False,
) -> tuple[Any, QuantizationReport]:
    """A copy of a network whose butterfly layers are `QuantizedButterflyLinear`.

    Parameters
    ----------
    module : a ``torch.nn.Module``. Butterfly layers are the modules with the attributes ``factors`` (4-D tensors),
        ``in_features`` and ``out_features``.
    fmt, method, beam : as in `quantize_chain`
    include : names of layers, with wildcards ("encoder.*"), or a function of name and layer; default: all. A layer with
        several names is quantized once, for all of them if one is chosen.
    cache : as in `QuantizedButterflyLinear`

    Raises
    ------
    ValueError
        If there is no such layer, or a name fits none.
    """
    if not isinstance(module, torch.nn.Module):
        raise ValueError(f"module must be a torch.nn.Module; got {type(module).__name__}")
    made = copy.deepcopy(module)
    # a layer that is used twice has two names
    layers = {name: layer for name, layer in made.named_modules(remove_duplicate=False) if _is_butterfly(layer)}
    if not layers:
        raise ValueError("the network has no butterfly layer (a module with factors, in_features and out_features)")
    chosen = _chosen(layers, include)
    reports = []
    done: set[int] = set()
    for name in chosen:
        layer = layers[name]
        if id(layer) in done:
            continue
        done.add(id(layer))
        new = QuantizedButterflyLinear.from_butterfly_linear(layer, fmt, method=method, beam=beam, cache=cache)
        new.train(layer.training)
        answer = new.chain()
        before = sum(x.numel() * x.element_size() for x in layer.factors) * 8
        kind = answer.error_kind, answer.method
        reports.append(LayerReport(name or "(root)", answer.error, answer.error_rtn, *kind, before, answer.bits.total))
        for place in [other for other, same in layers.items() if same is layer]:  # shared layers stay shared
            if not place:
                made = new
                continue
            parent, _, child = place.rpartition(".")
            setattr(made.get_submodule(parent), child, new)
    return made, QuantizationReport(tuple(reports), _bytes(module), _bytes(made))


def _is_butterfly(layer: Any) -> bool:
    if isinstance(layer, QuantizedButterflyLinear):
        return False
    factors = getattr(layer, "factors", None)
    if not (hasattr(layer, "in_features") and hasattr(layer, "out_features")):
        return False
    try:
        return len(factors) > 0 and all(x.ndim == 4 for x in factors)  # type: ignore[union-attr, arg-type]
    except (TypeError, AttributeError):
        return False


def _chosen(layers: Mapping[str, Any], include: Any) -> list[str]:
    if include is None:
        return list(layers)
    if callable(include):
        names = [name for name, layer in layers.items() if include(name, layer)]
        if not names:
            raise ValueError("include selects no butterfly layer")
        return names
    patterns = [include] if isinstance(include, str) else list(include)
    if not patterns:
        raise ValueError("include is an empty list; give names of layers, or None for all")
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in layers):
            raise ValueError(f"no butterfly layer is named {pattern!r}; there are {', '.join(map(repr, layers))}")
    return [name for name in layers if any(fnmatch(name, pattern) for pattern in patterns)]


def _bytes(module: Any) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(x.numel() * x.element_size() for x in tensors)
