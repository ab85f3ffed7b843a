"""What replacing a single layer does to the loss of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..butterfly.architecture import Chain
from ..core.answer import Answer
from .calibration import evaluating
from .candidates import Unfit, is_name
from .layers import ButterflyConv2d, ButterflyLinear, torch
from .selection import find_layers, replace_module

__all__ = ["Sensitivity", "sensitivity"]


@dataclass(frozen=True)
class Sensitivity(Answer):
    """Losses of a network with one layer replaced at a time.

    Attributes
    ----------
    baseline : loss of the network as it is
    records : for each layer and chain ``{"layer", "chain", "n_params", "relative_error", "loss", "effect"}``, ``effect`` being the
        change of the loss
    """

    baseline: float
    records: tuple[Mapping[str, Any], ...]

    @property
    def guarantee(self) -> None:
        """None: the losses are measured."""
        return

    def facts(self) -> Mapping[str, Any]:
        """The baseline, the most sensitive layer, and all records."""
        worst = max(self.records, key=lambda record: abs(record["effect"]), default=None)
        return {
            "baseline": self.baseline,
            "most_sensitive": None
            if worst is None
            else f"{worst['layer']} with {worst['chain']}: {worst['effect']:+.4g}",
            "records": [dict(record) for record in self.records],
        }


def sensitivity(
    model: Any,
    loss_fn: Callable[[Any], float],
    layers: Sequence[str] | str | Callable[[Any, str], bool] | None = None,
    chains: Sequence[Chain | str] = ("monarch",),
) -> Sensitivity:
    """The loss of a network when one layer at a time is replaced by its butterfly approximation.

    Parameters
    ----------
    model : `torch.nn.Module`; it is left as it was
    loss_fn : ``loss_fn(model) -> float``; called in evaluation mode, without gradients
    layers : as for `compress`
    chains : architectures to try in each layer; those that do not fit a layer are left out

    Raises
    ------
    ValueError
        A network that is a single layer, patterns that match no layer, an unknown chain, or chains that fit no layer.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 4))
    >>> found = sensitivity(network, lambda m: float(m(torch.ones(1, 16)).sum()), chains=["monarch:r=2"])
    >>> [record["layer"] for record in found.records]
    ['0', '1']
    """
    if isinstance(model, (torch.nn.Linear, torch.nn.Conv2d)):
        raise ValueError("the network is a single layer; put it into a torch.nn.Sequential")
    for chain in chains:
        if isinstance(chain, str) and not is_name(chain):
            raise ValueError(f"unknown chain {chain!r}; expected 'dyadic', 'monarch:r=2', 'lowrank:r=5' or patterns")
    with evaluating(model):
        baseline = float(loss_fn(model))
        records: list[Mapping[str, Any]] = []
        for place in find_layers(model, layers):
            if place.reason or not place.name:
                continue
            kind = ButterflyConv2d.from_conv if place.kind == "conv2d" else ButterflyLinear.from_linear
            for chain in chains:
                try:
                    new = kind(place.module, chain).eval()
                except (Unfit, ValueError):
                    continue
                try:
                    replace_module(model, place.name, new)
                    loss = float(loss_fn(model))
                finally:
                    replace_module(model, place.name, place.module)
                records.append(
                    {
                        "layer": place.name,
                        "chain": str(new.chain),
                        "n_params": new.n_params,
                        "relative_error": new.factorization.relative_error,
                        "loss": loss,
                        "effect": loss - baseline,
                    }
                )
    if not records:
        raise ValueError("no chain fits any of the selected layers")
    return Sensitivity(baseline, tuple(records))
