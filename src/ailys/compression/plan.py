"""The plan of a compression: which architecture each matrix takes, its factorization, and the report of each layer.

Everything here works on NumPy arrays, so a file of weights can be compressed without PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from ..butterfly import ButterflyFactorization, butterfly
from .allocation import Allocation, allocate_globally, allocate_uniformly
from .candidates import Option, Unfit, block_weight, layer_options, read_architecture
from .report import LayerReport

__all__ = ["BudgetTooSmall", "Layer", "Plan", "check_goal", "make_plan"]


class BudgetTooSmall(ValueError):
    """No choice of architectures stays within the budget."""


@dataclass(frozen=True)
class Layer:
    """A matrix to compress: ``read`` gives its numbers, ``moment`` weighs its input, ``dtype`` is a narrower type of the factors."""

    name: str
    kind: str
    shape: tuple[int, int]
    itemsize: int
    read: Callable[[], np.ndarray]
    moment: np.ndarray | None = None
    reason: str = ""
    dtype: Any = None


@dataclass(frozen=True)
class Plan:
    """Reports of all layers, the answers of those to be replaced, and how good the sharing of the budget is."""

    reports: tuple[LayerReport, ...]
    answers: Mapping[str, ButterflyFactorization]
    budget: int | None
    total_error: float
    allocation_gap: float


def check_goal(budget: Any, max_error: Any, allocate: Any) -> None:
    """Refuse sizes that make no sense, before any work is done."""
    if budget is not None and max_error is not None:
        raise ValueError("give a budget or max_error, not both")
    if budget is not None and not (_is_number(budget) and 0 < budget < math.inf):
        raise ValueError(
            f"budget must be a fraction of the weights in (0, 1] or a whole number of them; got {budget!r}"
        )
    if budget is not None and not isinstance(budget, Integral) and budget > 1:
        raise ValueError(f"budget as a fraction must be in (0, 1]; got {budget:g} (a whole number counts weights)")
    if max_error is not None and not (_is_number(max_error) and 0 < max_error < 1):
        raise ValueError(f"max_error is a relative error in (0, 1); got {max_error!r}")
    if allocate not in ("global", "uniform"):
        raise ValueError(f"allocate must be 'global' or 'uniform'; got {allocate!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def make_plan(
    layers: Sequence[Layer],
    *,
    budget: float | int | None,
    max_error: float | None,
    architecture: Any,
    allocate: Literal["global", "uniform"] | str = "global",
    refine: int = 0,
    influence: Callable[[Layer, ButterflyFactorization], float] | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Plan:
    """Choose an architecture for each layer and factorize it.

    ``influence(layer, answer)`` is the squared change of the network's output when this layer alone is replaced; with it, a
    budget is shared with a view to the output, and not so that the sum of the layers' squared relative errors is small.
    """
    check_goal(budget, max_error, allocate)
    architectures = read_architecture(architecture)
    options: dict[str, list[Option]] = {}
    reasons = {layer.name: layer.reason for layer in layers if layer.reason}
    for layer in layers:
        if layer.reason:
            continue
        on_step(f"options of {layer.name}")
        try:
            options[layer.name] = layer_options(layer.read(), architectures, layer.moment)
        except Unfit as fault:
            reasons[layer.name] = str(fault)
            continue
        if len(options[layer.name]) == 1:
            reasons[layer.name] = "no architecture has fewer weights than the dense layer"
            del options[layer.name]
    free = [layer for layer in layers if layer.name in options]
    # layers that could have been replaced but gain nothing still count: the budget is for all that was selected
    fixed = sum(math.prod(layer.shape) for layer in layers if not layer.reason and layer.name not in options)
    prices = {}
    if influence is not None and budget is not None and allocate == "global" and len(free) > 1:
        for layer in free:
            on_step(f"influence of {layer.name}")
            prices[layer.name] = _price(layer, options[layer.name], budget, influence)
    priced = {n: _priced(each, prices[n]) for n, each in options.items()} if prices else options
    if not free and budget is not None and reasons and fixed:
        first = next(layer.name for layer in layers if not layer.reason)
        if (budget if isinstance(budget, Integral) else budget * fixed) < fixed:
            raise BudgetTooSmall(f"none of the selected layers can be made smaller; {first!r}: {reasons[first]}")
    allocation, limit = _share(free, priced, fixed, budget, max_error, allocate)
    chosen = {layer.name: _same(options[layer.name], o) for layer, o in zip(free, allocation.chosen, strict=True)}
    reports, answers, squares = [], {}, 0.0
    for layer in layers:
        option = chosen.get(layer.name)
        answer = None
        if option is not None and option.chain is not None:
            on_step(f"factorizing {layer.name}")
            answer = _factorize(layer, option, refine)
            if (
                max_error is not None and answer.relative_error > max_error
            ):  # in the norm of the certificate, or by rounding
                option, answer = _next_within(max_error, layer, options[layer.name], option, refine)
        if option is None or answer is None:
            reports.append(_kept(layer, reasons.get(layer.name) or _why_kept(max_error)))
            continue
        answers[layer.name] = answer
        reports.append(_report(layer, answer, option))
        squares += option.cost if layer.moment is not None else answer.relative_error**2
    return Plan(tuple(reports), answers, limit, math.sqrt(squares), allocation.gap)


def _price(
    layer: Layer,
    options: Sequence[Option],
    budget: float | int,
    influence: Callable[[Layer, ButterflyFactorization], float],
) -> float:
    """Squared change of the output for each unit of squared relative error, from one typical option."""
    share = 0.3 if isinstance(budget, Integral) else float(budget)
    smaller = [option for option in options if option.chain is not None and option.cost > 0]
    if not smaller:
        return 1.0
    typical = min(smaller, key=lambda o: abs(o.n_params - share * math.prod(layer.shape)))
    return influence(layer, _factorize(layer, typical, 0)) / typical.cost


def _priced(options: Sequence[Option], price: float) -> list[Option]:
    """Options with the cost ``-price log(1 - c)`` for the squared relative error ``c``.

    For small errors that is ``price c``; a layer that loses nearly all of its signal costs without bound, because what
    remains of the signal multiplies along the network.
    """
    return [replace(option, cost=price * -math.log1p(-min(option.cost, 1 - 1e-12))) for option in options]


def _same(options: Sequence[Option], priced: Option) -> Option:
    """The option before pricing."""
    return next(o for o in options if o.chain == priced.chain and o.n_params == priced.n_params)


def _factorize(layer: Layer, option: Option, refine: int) -> ButterflyFactorization:
    assert option.chain is not None
    weight = None if layer.moment is None else block_weight(layer.moment, option.chain)
    return butterfly(layer.read(), option.chain, col_weight=weight, refine=refine, dtype=layer.dtype)


def _next_within(
    max_error: float, layer: Layer, options: Sequence[Option], option: Option, refine: int
) -> tuple[Option | None, ButterflyFactorization | None]:
    """The next larger option whose factorization keeps the error, and the factorization; None if there is none."""
    larger = [o for o in options if o.chain is not None and o.n_params > option.n_params and o.cost <= max_error**2]
    for each in sorted(larger, key=lambda o: o.n_params):
        answer = _factorize(layer, each, refine)
        if answer.relative_error <= max_error:
            return each, answer
    return None, None


def _share(
    free: Sequence[Layer],
    options: Mapping[str, Sequence[Option]],
    fixed: int,
    budget: float | int | None,
    max_error: float | None,
    allocate: str,
) -> tuple[Allocation, int | None]:
    """The option of each free layer, and the budget in weights."""
    choices = [options[layer.name] for layer in free]
    if max_error is not None:
        return _smallest(choices, max_error**2), None
    if budget is None:
        if any(len(each) > 2 for each in choices):
            raise ValueError(
                "give a budget (a fraction of the weights) or max_error; only a single chain needs neither"
            )
        return _smallest(choices, math.inf), None
    dense = fixed + sum(math.prod(layer.shape) for layer in free)
    limit = int(budget) if isinstance(budget, Integral) else int(budget * dense)
    try:
        best = allocate_globally(choices, limit - fixed)
        if allocate == "uniform":
            fraction = min(1.0, (limit - fixed) / (dense - fixed)) if dense > fixed else 1.0
            return replace(allocate_uniformly(choices, fraction), bound=best.bound), limit
        return best, limit
    except ValueError as fault:
        raise BudgetTooSmall(
            f"the budget of {limit} weights cannot be met: {fault}; raise it or select other layers"
        ) from None


def _smallest(choices: Sequence[Sequence[Option]], cost: float) -> Allocation:
    """The smallest option of each layer with at most this cost."""
    chosen = tuple(min((o for o in each if o.cost <= cost), key=lambda o: (o.n_params, o.cost)) for each in choices)
    total = sum(option.cost for option in chosen)
    return Allocation(chosen, total, total)


def _why_kept(max_error: float | None) -> str:
    if max_error is not None:
        return f"no architecture with fewer weights has a relative error of {max_error:g} or less"
    return "the budget is better spent here than elsewhere"


def _kept(layer: Layer, reason: str) -> LayerReport:
    size = math.prod(layer.shape)
    return LayerReport(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        chain=None,
        relative_error=0.0,
        lower_bound=0.0,
        ratio=1.0,
        guarantee=None,
        weighted=False,
        params_before=size,
        params_after=size,
        itemsize=layer.itemsize,
        replaced=False,
        reason=reason,
        eligible=not layer.reason,
    )


def _report(layer: Layer, answer: ButterflyFactorization, option: Option) -> LayerReport:
    norm = answer.norm or 1.0
    return LayerReport(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        chain=answer.chain,
        relative_error=answer.relative_error,
        lower_bound=answer.lower_bound / norm,
        ratio=answer.ratio,
        guarantee=answer.guarantee,
        weighted=answer.weighted,
        params_before=math.prod(layer.shape),
        params_after=answer.n_params,
        itemsize=layer.itemsize,
        replaced=True,
        reason="",
        output_error=math.sqrt(option.cost) if answer.weighted else None,
    )
