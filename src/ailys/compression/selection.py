"""Which layers of a network can be replaced, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..core.optional import require
from .layers import ButterflyConv2d, ButterflyLinear

torch = require("torch", extra="networks", purpose="compressing a network")

__all__ = ["Place", "find_layers", "replace_module"]

Chosen = Sequence[str] | str | Callable[[Any, str], bool] | None


@dataclass(frozen=True)
class Place:
    """A layer of a network: ``reason`` says why it cannot be replaced, and is empty if it can."""

    name: str
    module: Any
    reason: str = ""

    @property
    def kind(self) -> str:
        """ "linear" or "conv2d"."""
        return "conv2d" if isinstance(self.module, torch.nn.Conv2d) else "linear"

    @property
    def matrix(self) -> Any:
        """The (M, N) matrix of the layer as a tensor."""
        return self.module.weight.detach().flatten(1)


def find_layers(model: Any, layers: Chosen = None) -> list[Place]:
    """The dense layers of a network that are asked for, each with the reason if it has to stay.

    Parameters
    ----------
    model : `torch.nn.Module`
    layers : None (all), glob patterns of qualified names, or ``callable(module, name) -> bool``

    Raises
    ------
    ValueError
        A pattern that matches no module, or nothing to choose from.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    wanted = _wanted(modules, layers)
    shared = _shared_tensors(model)
    places: list[Place] = []
    names_of: dict[int, list[str]] = {}
    for name, module in modules.items():
        names_of.setdefault(id(module), []).append(name)
    told: set[int] = set()
    for name, module in modules.items():
        if name not in wanted or not _is_dense_layer(module) or id(module) in told:
            continue
        told.add(id(module))
        others = [other for other in names_of[id(module)] if other != name]
        reason = f"the module is used in several places: also as {', '.join(others)}" if others else ""
        places.append(Place(name, module, reason or _why_not(name, module, modules, shared)))
    if not places:
        raise ValueError(
            "no Linear or Conv2d layer is selected; give layers=None for all of them, or patterns such as 'encoder.*.dense'"
        )
    return places


def replace_module(model: Any, name: str, new: Any) -> None:
    """Put a module in the place of another."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)


def _is_dense_layer(module: Any) -> bool:
    """Whether the module is one that a person would expect to be compressed, replaceable or not."""
    if isinstance(module, (ButterflyLinear, ButterflyConv2d)):
        return False
    if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.MultiheadAttention)):
        return True
    return _is_quantized(module)


def _is_quantized(module: Any) -> bool:
    return "quantized" in type(module).__module__ and type(module).__name__ in (
        "Linear",
        "LinearReLU",
        "Conv2d",
        "ConvReLU2d",
    )


def _wanted(modules: dict[str, Any], layers: Chosen) -> set[str]:
    if layers is None:
        return set(modules)
    if callable(layers):
        return {name for name, module in modules.items() if layers(module, name)}
    patterns = [layers] if isinstance(layers, str) else list(layers)
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in modules if fnmatchcase(name, pattern)}
        if not matching:
            some = [name for name, module in modules.items() if _is_dense_layer(module)][:3]
            raise ValueError(
                f"no layer matches {pattern!r}; names look like {', '.join(map(repr, some)) or 'nothing here'}"
            )
        found |= matching
    return found


def _shared_tensors(model: Any) -> dict[int, list[str]]:
    """Names under which the memory of each parameter and buffer is reached."""
    found: dict[int, list[str]] = {}
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        if tensor.device.type != "meta" and tensor.numel():
            found.setdefault(tensor.untyped_storage().data_ptr(), []).append(name)
    return found


def _why_not(name: str, module: Any, modules: dict[str, Any], shared: dict[int, list[str]]) -> str:
    if isinstance(module, torch.nn.MultiheadAttention):
        return "nn.MultiheadAttention computes with one fused projection (in_proj_weight), not with a layer"
    if _is_quantized(module):
        return "the layer is quantized already"
    parent = modules.get(name.rpartition(".")[0])
    if isinstance(parent, torch.nn.MultiheadAttention):
        return "nn.MultiheadAttention reads the weight of this layer directly"
    if torch.nn.utils.parametrize.is_parametrized(module):
        return "the layer is parametrized"
    if type(module) not in (torch.nn.Linear, torch.nn.Conv2d):
        return f"{type(module).__name__} is a special layer; only plain nn.Linear and nn.Conv2d are replaced"
    weight = module.weight
    if type(weight) not in (torch.nn.Parameter, torch.Tensor) or not weight.is_floating_point():
        return f"the weight is quantized or of a special type ({type(weight).__name__}, {weight.dtype})"
    if weight.device.type == "meta":
        return "the weight has no numbers (device meta)"
    for part, tensor in (("weight", weight), ("bias", module.bias)):
        mine = f"{name}.{part}".lstrip(".")
        memory = None if tensor is None else tensor.untyped_storage().data_ptr()
        also = [other for other in shared.get(memory or 0, []) if other != mine]
        if also:
            return f"the {part} is shared with {', '.join(also)}"
    stray = set(dict(module.named_parameters())) - {"weight", "bias"}
    if stray or dict(module.named_children()) or dict(module.named_buffers()):
        return "the layer holds more than a weight and a bias"
    if "forward" in vars(module):
        return "the layer has a forward of its own"
    if isinstance(module, torch.nn.Conv2d) and module.groups != 1:
        return f"the convolution has {module.groups} groups"
    if any(kept for key, kept in vars(module).items() if key.endswith("_hooks")) or weight._backward_hooks:
        return "the layer has hooks, which would be lost"
    if not bool(torch.isfinite(weight).all()):
        return "the weight has NaN or infinite entries"
    if min(weight.flatten(1).shape) < 2:
        return "a matrix with one row or column has nothing to factorize"
    return ""
