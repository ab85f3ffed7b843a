"""Second moments of the inputs of layers, from data that pass through the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.optional import require
from .selection import Place

torch = require("torch", extra="networks", purpose="calibration")

__all__ = ["call", "evaluating", "second_moments"]


def call(model: Any, batch: Any) -> Any:
    """The output of a model for a batch: a tensor, a tuple or list of arguments, or a dict of named ones."""
    if isinstance(batch, torch.Tensor):
        return model(batch)
    if isinstance(batch, (tuple, list)):
        return model(*batch)
    if hasattr(batch, "items"):
        return model(**dict(batch.items()))
    raise TypeError(f"a batch is a tensor, a tuple of arguments or a dict of named ones; got {type(batch).__name__}")


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; every module is left in the mode in which it was."""
    was_training = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, training in was_training.items():
            module.training = training


def second_moments(model: Any, places: Sequence[Place], batches: Iterable[Any]) -> dict[str, np.ndarray]:
    """``mean of x x^T``, summed in float64, for the input ``x`` of each layer (of each patch, for a convolution), by name.

    The model runs in evaluation mode without gradients, and is left as it was.

    Raises
    ------
    ValueError
        No batch, a layer that no batch reached, or inputs with NaN.
    """
    sums: dict[str, Any] = {}
    counts: dict[str, int] = {}

    def watch(place: Place) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...]) -> None:
            x = _vectors(module, inputs[0].detach())
            x = x if x.dtype in (torch.float32, torch.float64) else x.float()
            if place.name not in sums:
                sums[place.name] = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
            sums[place.name] += x.t() @ x  # summed in double precision; each product in that of the network
            counts[place.name] = counts.get(place.name, 0) + len(x)

        return place.module.register_forward_pre_hook(hook)

    handles = [watch(place) for place in places]
    seen = 0
    try:
        with evaluating(model):
            for batch in batches:
                call(model, batch)
                seen += 1
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ValueError(
            "calibration has no batch; give inputs of the model, or None (an iterator can be used once only)"
        )
    missing = [place.name for place in places if place.name not in sums]
    if missing:
        raise ValueError(
            f"no calibration batch reached the layer {missing[0]!r}; leave it out with layers=, or give other inputs"
        )
    moments = {name: (total / counts[name]).cpu().numpy() for name, total in sums.items()}
    for name, moment in moments.items():
        if not np.isfinite(moment).all():
            raise ValueError(f"the inputs of layer {name!r} have NaN or infinite entries during calibration")
    return moments


def _vectors(module: Any, x: Any) -> Any:
    """The vectors (count, N) that the matrix of a layer multiplies."""
    if not isinstance(module, torch.nn.Conv2d):
        return x.reshape(-1, x.shape[-1])
    if x.ndim == 3:
        x = x[None]
    functional = torch.nn.functional
    around = list(module._reversed_padding_repeated_twice)
    if any(around):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        x = functional.pad(x, around, mode=mode)
    patches = functional.unfold(x, module.kernel_size, dilation=module.dilation, stride=module.stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])
