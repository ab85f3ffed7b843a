"""`compress`: dense layers of a trained network replaced by butterfly layers within a budget."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np

from ..butterfly import ButterflyFactorization
from ..core.optional import require
from .calibration import InputMoments, call, evaluating, input_moments
from .layers import ButterflyConv2d, ButterflyLinear, numbers_of
from .plan import Layer, check_goal, make_plan
from .report import CompressionResult
from .selection import Place, find_layers, replace_module

torch = require("torch", extra="networks", purpose="compressing a network")

__all__ = ["compress"]

_WATCHED = 2  # batches on which the drift is measured


def compress(
    model: Any,
    *,
    budget: float | int | None = None,
    max_error: float | None = None,
    architecture: Any = "auto",
    layers: Sequence[str] | str | Callable[[Any, str], bool] | None = None,
    calibration: Iterable[Any] | None = None,
    allocate: str = "global",
    refine: int = 0,
    inplace: bool = False,
    on_step: Callable[[str], None] = lambda name: None,
) -> CompressionResult:
    """Replace dense layers of a network by butterfly layers, and say how far each is from the best possible.

    Parameters
    ----------
    model : `torch.nn.Module`; it is copied unless ``inplace``
    budget : weights of the selected layers that may remain: a fraction (0 < budget <= 1) or a whole number. Biases are
        kept and not counted.
    max_error : instead of a budget, the largest relative error of a layer; with calibration, of its matrix in the
        weighted norm and of its output
    architecture : "auto" (low rank, blocks of several sizes and Monarch, with the best rank), "lowrank", "monarch",
        "blocks:4", a chain or its text ("dyadic", "monarch:r=2", ...), or a list of these
    layers : None (every Linear and Conv2d), glob patterns of names, or ``callable(module, name) -> bool``
    calibration : inputs of the model (tensors, tuples of arguments, or dicts of named ones). The errors are
        then those of the outputs of the layers on such inputs, which is what counts: without training, nothing improves the result more.
        A few hundred examples are enough; needed memory is 8 N^2 bytes for a layer with N inputs. The bias of a
        layer then takes over what the approximation changes for the mean input.
    allocate : "global" shares the budget so that the sum of squared relative errors ``c`` is small; with calibration, the
        sum of ``-w log(1 - c)``, where ``w c`` is the change of the output, measured with that layer alone replaced.
        "uniform" gives the same fraction to each layer.
    refine : sweeps of alternating optimisation of chains of more than two factors
    inplace : change the model itself
    on_step : called with a line of text before each step, for progress

    Returns
    -------
    CompressionResult, whose ``.model`` is the smaller network.

    Raises
    ------
    ValueError
        Budget or error out of range, patterns that match nothing, a budget that cannot be met, NaN in the calibration.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    >>> result = compress(network, budget=0.5)
    >>> result.params_after <= 0.5 * result.params_before, round(result.layers[0].ratio, 9)
    (True, 1.0)
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"expected a torch.nn.Module; got {type(model).__name__}")
    check_goal(budget, max_error, allocate)
    if any(torch.nn.parameter.is_lazy(p) for p in model.parameters()):
        raise ValueError("the model has lazy layers without numbers; run it once on an input first")
    before = _size(model)
    places = find_layers(model, layers)  # in the network given: a copy may share less memory
    if not inplace:
        model = copy.deepcopy(model)
        places = [replace(place, module=model.get_submodule(place.name)) for place in places]
    usable = [place for place in places if not place.reason]
    moments: dict[str, InputMoments] = {}
    batches: list[Any] = []
    if calibration is not None and usable:
        on_step("calibration")
        source = iter(calibration)
        batches = list(itertools.islice(source, _WATCHED))
        moments = input_moments(model, usable, itertools.chain(batches, source))
    outputs = _outputs(model, batches)
    by_name = {place.name: place for place in usable}

    def influence(layer: Layer, answer: ButterflyFactorization) -> float:
        place = by_name[layer.name]
        try:
            replace_module(model, place.name, _butterfly_of(place, answer, moments.get(place.name)))
            changed = _drift(outputs, _outputs(model, batches))
        finally:
            replace_module(model, place.name, place.module)
        return (changed or 0.0) ** 2

    plan = make_plan(
        [_layer(place, moments.get(place.name)) for place in places],
        budget=budget,
        max_error=max_error,
        architecture=architecture,
        allocate=allocate,
        refine=refine,
        influence=influence if outputs and "" not in by_name else None,
        on_step=on_step,
    )
    for place in usable:
        if place.name in plan.answers:
            new = _butterfly_of(place, plan.answers[place.name], moments.get(place.name))
            if place.name:
                replace_module(model, place.name, new)
            else:
                model = new
    return CompressionResult(
        model=model,
        layers=plan.reports,
        budget=plan.budget,
        total_error=plan.total_error,
        allocation_gap=plan.allocation_gap,
        drift=_drift(outputs, _outputs(model, batches)),
        model_params=(before, _size(model)),
    )


def _butterfly_of(place: Place, answer: ButterflyFactorization, moments: InputMoments | None) -> Any:
    """The layer for an answer; its bias takes over what the factors change for the mean of the inputs."""
    kind = ButterflyConv2d if place.kind == "conv2d" else ButterflyLinear
    new = kind.like(place.module, answer.chain)._taking(place.module, answer)
    if moments is not None and moments.mean is not None:
        lost = numbers_of(place.matrix).astype(np.float64) - answer.toarray()
        with torch.no_grad():
            new.bias += torch.from_numpy(lost @ moments.mean).to(new.bias)
    return new


def _layer(place: Place, moments: InputMoments | None) -> Layer:
    if place.reason:
        weight = getattr(place.module, "weight", None)
        shape = tuple(weight.flatten(1).shape) if isinstance(weight, torch.Tensor) else (0, 0)
        return Layer(place.name, place.kind, shape, 4, lambda: np.empty(0), None, place.reason)  # type: ignore[arg-type]
    matrix = place.matrix
    return Layer(
        name=place.name,
        kind=place.kind,
        shape=tuple(matrix.shape),  # type: ignore[arg-type]
        itemsize=matrix.element_size(),
        read=lambda: numbers_of(matrix),
        moment=None if moments is None else moments.weight,
        dtype={torch.float16: np.float16, torch.bfloat16: ml_dtypes.bfloat16}.get(matrix.dtype),
    )


def _size(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def _outputs(model: Any, batches: Sequence[Any]) -> list[Any]:
    """The first floating-point tensor of the output for each batch, in evaluation mode."""
    if not batches:
        return []
    with evaluating(model):
        return [_first_tensor(call(model, batch)) for batch in batches]


def _first_tensor(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.double() if output.is_floating_point() else None
    parts = output.values() if hasattr(output, "values") else output if isinstance(output, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_tensor(part)) is not None), None)


def _drift(before: Sequence[Any], after: Sequence[Any]) -> float | None:
    """Relative root mean square change of outputs."""
    pairs = [
        (b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None and b.shape == a.shape
    ]
    if not pairs:
        return None
    norm = sum(float((b**2).sum()) for b, _ in pairs)
    return (sum(float(((a - b) ** 2).sum()) for b, a in pairs) / norm) ** 0.5 if norm > 0 else None
