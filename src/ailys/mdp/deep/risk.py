"""Risks of learned laws: one number from the atoms of a return, for each action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["ActsByRisk", "Risk"]

_KINDS = {
    "mean": "no parameter",
    "cvar": "a level in (0, 1]",
    "wang": "a number, negative for aversion",
    "cpw": "a number in [0.3, 1]",
    "entrm": "a number, negative for aversion",
}


@dataclass(frozen=True)
class Risk:
    """What an agent maximises instead of the mean of the law that it has learned.

    ``mean``; ``cvar:alpha``, the mean of the worst fraction alpha; ``wang:eta``, the distortion ``Phi(Phi^-1(p) - eta)`` of the
    probabilities (Wang 2000; averse for eta < 0); ``cpw:gamma``, the weighting ``p^g / (p^g + (1-p)^g)^(1/g)`` of
    Tversky and Kahneman (1992); ``entrm:beta``, the entropic risk ``(1/beta) log E exp(beta G)``.

    The first four are averages of the sorted atoms with weights that depend on the probability below them: with
    the distortion g, atom i gets ``g(F_i) - g(F_{i-1})``. CVaR has ``g(p) = min(p / alpha, 1)``, so an atom on the edge is split.

    Raises
    ------
    ValueError
        an unknown kind, or a parameter outside its range

    Examples
    --------
    >>> Risk.parse("cvar:0.25").weights(8).tolist()
    [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    kind: str = "mean"
    parameter: float = 0.0

    def __post_init__(self) -> None:
        right = {
            "mean": True,
            "cvar": 0 < self.parameter <= 1,
            "wang": math.isfinite(self.parameter),
            "cpw": 0.3 <= self.parameter <= 1,  # below, the weighting is not increasing
            "entrm": math.isfinite(self.parameter),
        }
        if not right.get(self.kind, False):
            raise ValueError(
                f"unknown risk {self.kind}:{self.parameter:g}; expected "
                + ", ".join(f"{k} ({v})" for k, v in _KINDS.items())
            )

    @classmethod
    def parse(cls, text: str | Risk) -> Risk:
        """From a text such as "cvar:0.25"."""
        if isinstance(text, Risk):
            return text
        kind, _, parameter = str(text).partition(":")
        try:
            return cls(kind.strip(), float(parameter) if parameter else 0.0)
        except ValueError as fault:
            known = ", ".join(f"{k} ({v})" for k, v in _KINDS.items())
            raise ValueError(f"risk must be written like 'cvar:0.25'; got {text!r}; known: {known}") from fault

    def __str__(self) -> str:
        return self.kind if self.kind == "mean" else f"{self.kind}:{self.parameter:g}"

    def distortion(self, p: np.ndarray) -> np.ndarray:
        """The distorted cumulative probabilities."""
        p = np.clip(np.asarray(p, float), 0, 1)
        if self.kind == "cvar":
            return np.minimum(p / self.parameter, 1)
        if self.kind == "wang":
            from scipy.special import ndtr, ndtri

            return ndtr(ndtri(p) - self.parameter)
        if self.kind == "cpw":
            g = self.parameter
            return p**g / (p**g + (1 - p) ** g) ** (1 / g)
        return p

    def weights(self, n: int) -> np.ndarray:
        """(n,) weights of n sorted atoms of equal mass."""
        return np.diff(self.distortion(np.arange(n + 1) / n))

    def of_quantiles(self, quantiles: Any) -> Any:
        """(B, A) risks of quantiles (B, N, A), a tensor: they are sorted first, networks do not keep them in order."""
        import torch

        if self.kind == "mean":
            return quantiles.mean(dim=1)
        if self.kind == "entrm":
            if self.parameter == 0:
                return quantiles.mean(dim=1)
            scaled = torch.logsumexp(self.parameter * quantiles, dim=1) - math.log(quantiles.shape[1])
            return scaled / self.parameter
        weights = torch.as_tensor(self.weights(quantiles.shape[1]), dtype=quantiles.dtype, device=quantiles.device)
        return torch.einsum("bna,n->ba", quantiles.sort(dim=1).values, weights)

    def of_atoms(self, atoms: Any, mass: Any) -> Any:
        """(B, A) risks of laws on increasing atoms (N,) with masses (B, N, A), tensors."""
        import torch

        if self.kind == "entrm" and self.parameter != 0:
            log_mass = torch.log(mass.clamp_min(torch.finfo(mass.dtype).tiny))
            return torch.logsumexp(log_mass + self.parameter * atoms[None, :, None], dim=1) / self.parameter
        if self.kind in ("mean", "entrm"):
            return torch.einsum("bna,n->ba", mass, atoms)
        cumulative = mass.cumsum(dim=1).clamp(0, 1).cpu().double().numpy()
        distorted = np.diff(self.distortion(cumulative), axis=1, prepend=0.0)
        distorted[:, -1] += 1 - distorted.sum(axis=1)  # rounding of the cumulative sum
        return torch.einsum("bna,n->ba", torch.as_tensor(distorted, dtype=atoms.dtype, device=atoms.device), atoms)


class ActsByRisk:
    """An agent of sb3-contrib with a property ``risk``, and networks that are told it."""

    _risk: str
    quantile_net: Any

    @property
    def risk(self) -> str:
        """What the agent maximises when it acts."""
        return self._risk

    @risk.setter
    def risk(self, value: str | Risk) -> None:
        self._risk = str(Risk.parse(value))
        self._tell_networks()

    def _setup_model(self) -> None:
        super()._setup_model()  # type: ignore[misc]
        self._tell_networks()

    def _tell_networks(self) -> None:
        self.quantile_net.risk = Risk.parse(self._risk)
