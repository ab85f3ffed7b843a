"""Moments of the inputs of layers, from data that pass through the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.optional import require
from .selection import Place

torch = require("torch", extra="networks", purpose="calibration")

__all__ = ["InputMoments", "call", "evaluating", "input_moments"]


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


@dataclass(frozen=True)
class InputMoments:
    """What the inputs ``x`` of a layer are like: ``weight`` (N, N) weighs its errors, ``mean`` (N,) is None without a bias.

    The bias of a layer can take over whatever an approximation ``X`` of ``A`` changes on average, ``(A - X) mean``. What is left is
    weighed by the covariance ``E x x^T - mean mean^T``. Without a bias it is the second moments ``E x x^T`` that count.
    """

    weight: np.ndarray
    mean: np.ndarray | None


def input_moments(model: Any, places: Sequence[Place], batches: Iterable[Any]) -> dict[str, InputMoments]:
    """Moments of the inputs of each layer (of the patches, for a convolution), summed in float64, by name.

    The model runs in evaluation mode without gradients, and is left as it was.

    Raises
    ------
    ValueError
        No batch, a layer that no batch reached, or inputs with NaN.
    """
    sums: dict[str, Any] = {}
    means: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    counts: dict[str, int] = {}

    def watch(place: Place) -> Any:
        def hook(module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            x = _vectors(module, (inputs[0] if inputs else named["input"]).detach())
            if not len(x):
                return
            x = x if x.dtype in (torch.float32, torch.float64) else x.float()
            if place.name not in sums:
                n = x.shape[1]
                sums[place.name] = torch.zeros(n, n, dtype=torch.float64, device=x.device)
                means[place.name] = torch.zeros(n, dtype=torch.float64, device=x.device)
                # moments around the mean of the first batch: nothing cancels later
                origins[place.name] = x.new_zeros(n) if module.bias is None else x.mean(0)
            x = x - origins[place.name]
            means[place.name] += x.sum(0, dtype=torch.float64)
            sums[place.name] += x.t() @ x  # summed in double precision; each product in that of the network
            counts[place.name] = counts.get(place.name, 0) + len(x)

        return place.module.register_forward_pre_hook(hook, with_kwargs=True)

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
    moments = {}
    for place in places:
        name, count = place.name, counts[place.name]
        second, mean = (sums[name] / count).cpu().numpy(), (means[name] / count).cpu().numpy()
        if not np.isfinite(second).all():
            raise ValueError(f"the inputs of layer {name!r} have NaN or infinite entries during calibration")
        if place.module.bias is None:
            moments[name] = InputMoments(second, None)
        else:
            origin = origins[name].double().cpu().numpy()
            moments[name] = InputMoments(second - np.outer(mean, mean), origin + mean)
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
