"""Teaching a compressed network to answer as the original did."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.answer import Answer
from ..core.optional import require
from ..core.randomness import Seed, as_generator
from .calibration import call
from .layers import ButterflyConv2d, ButterflyLinear

torch = require("torch", extra="networks", purpose="distillation")

__all__ = ["Distillation", "distill"]

_RISE = 0.05  # of the training, in which the learning rate rises to its largest value


@dataclass(frozen=True, eq=False)
class Distillation(Answer):
    """A student trained to match its teacher: ``history`` holds the loss of each step, ``seconds`` the time it took."""

    student: Any
    history: np.ndarray
    seconds: float

    @property
    def guarantee(self) -> None:
        """None: training comes without one."""
        return

    def facts(self) -> Mapping[str, Any]:
        """First and last losses."""
        tenth = max(1, len(self.history) // 10)
        return {
            "steps": len(self.history),
            "seconds": self.seconds,
            "loss_at_the_start": float(self.history[:tenth].mean()),
            "loss_at_the_end": float(self.history[-tenth:].mean()),
        }


def distill(
    student: Any,
    teacher: Any,
    batches: Iterable[Any],
    *,
    steps: int = 100,
    lr: float = 3e-4,
    match: str = "output",
    rng: Seed = None,
    output: Callable[[Any, Any], Any] | None = None,
    max_seconds: float | None = None,
) -> Distillation:
    """Train a student so that its output, or that of its butterfly layers, comes near to the teacher's.

    Parameters
    ----------
    student : the compressed network; trained in place (all parameters that require gradients)
    teacher : the original network; left as it is
    batches : inputs without labels, as for `compress`. They are taken in a random order, again and again.
    steps, lr : number of steps of Adam and its largest learning rate: it rises over the first twentieth, then falls as a cosine
    match : "output", or "layers" for the outputs of the replaced layers
    rng : order of the batches
    output : ``output(model, batch) -> tensor`` for networks whose output is not a tensor, or to compare what
        counts (a normalised embedding, say); for ``match="output"``
    max_seconds : stop after this time; the learning rate then follows the clock

    The loss is the mean squared difference, relative to the mean square of the teacher's values.

    Raises
    ------
    ValueError
        No batch, an unknown ``match``, a loss that is not finite.
    """
    if match not in ("output", "layers"):
        raise ValueError(f"match must be 'output' or 'layers'; got {match!r}")
    if (
        not isinstance(steps, (int, np.integer))
        or steps < 1
        or not lr > 0
        or (max_seconds is not None and not max_seconds > 0)
    ):
        raise ValueError(
            f"steps must be a positive whole number, lr and max_seconds positive; got {steps}, {lr} and {max_seconds}"
        )
    given = list(batches)
    if not given:
        raise ValueError("distillation needs at least one batch of inputs")
    generator = as_generator(rng)
    values = _layer_outputs(student) if match == "layers" else output or _tensor_output
    learned = [p for p in student.parameters() if p.requires_grad]
    if not learned:
        raise ValueError("the student has no parameter that requires gradients")
    optimizer = torch.optim.Adam(learned, lr=lr)
    modes = {module: module.training for network in (student, teacher) for module in network.modules()}
    history: list[float] = []
    start = time.perf_counter()
    try:
        student.eval()  # dropout would only add noise to a comparison of two networks
        teacher.eval()
        order = (int(i) for _ in itertools.count() for i in generator.permutation(len(given)))
        for step, index in zip(range(steps), order, strict=False):
            done = step / steps
            if max_seconds is not None:
                done = max(done, (time.perf_counter() - start) / max_seconds)
                if done >= 1 and history:
                    break
                done = min(done, 1 - 1e-3)
            rise = min(1.0, max(done, (step + 1) / steps) / _RISE)
            optimizer.param_groups[0]["lr"] = lr * rise * 0.5 * (1 + math.cos(math.pi * done))
            with torch.no_grad():
                aim = _flat(values(teacher, given[index]))
            found = _flat(values(student, given[index]))
            loss = sum(
                ((f - a) ** 2).mean() / (a**2).mean().clamp_min(1e-30) for f, a in zip(found, aim, strict=True)
            ) / len(aim)
            if not bool(torch.isfinite(loss)):
                raise ValueError(f"the loss is not finite at step {step}; lower lr (it is {lr:g})")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            history.append(float(loss.detach()))
    finally:
        for module, training in modes.items():
            module.training = training
    return Distillation(student, np.array(history), time.perf_counter() - start)


def _flat(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _tensor_output(model: Any, batch: Any) -> list[Any]:
    """All floating-point tensors of the output."""

    def collect(value: Any) -> list[Any]:
        if isinstance(value, torch.Tensor):
            return [value] if value.is_floating_point() else []
        parts = value.values() if hasattr(value, "values") else value if isinstance(value, (list, tuple)) else ()
        return [tensor for part in parts for tensor in collect(part)]

    found = collect(call(model, batch))
    if not found:
        raise ValueError("the output of the model holds no floating-point tensor; pass output= to say what to compare")
    return found


def _layer_outputs(student: Any) -> Callable[[Any, Any], list[Any]]:
    """The outputs of the layers that are butterflies in the student, for student and teacher."""
    names = [n for n, m in student.named_modules() if isinstance(m, (ButterflyLinear, ButterflyConv2d))]
    if not names:
        raise ValueError("match='layers' needs a student with butterfly layers")

    def run(model: Any, batch: Any) -> list[Any]:
        seen: list[Any] = []
        handles = [
            model.get_submodule(name).register_forward_hook(lambda module, inputs, result: seen.append(result))
            for name in names
        ]
        try:
            call(model, batch)
        finally:
            for handle in handles:
                handle.remove()
        return seen

    return run
