"""QR-DQN (Dabney et al. 2018) of sb3-contrib, with a risk in the place of the mean."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import CnnPolicy, MultiInputPolicy, QRDQNPolicy, QuantileNetwork

from .risk import ActsByRisk, Risk

__all__ = ["RiskSensitiveQRDQN"]


class RiskNetwork(QuantileNetwork):
    """Quantiles of each action; acts by the risk of their law."""

    risk: Risk = Risk()
    for_targets: bool = False  # show the quantiles of the action of least risk in the place of all actions'

    def forward(self, obs: Any) -> torch.Tensor:
        """(B, N, A) quantiles."""
        quantiles = super().forward(obs)
        if not self.for_targets:
            return quantiles
        # QRDQN.train takes the action with the best mean of what it sees here; all columns being those of the
        # action that the risk prefers, it bootstraps on that one
        best = self.risk.of_quantiles(quantiles).argmax(dim=1)
        chosen = quantiles.gather(2, best[:, None, None].expand(-1, quantiles.shape[1], 1))
        return chosen.expand_as(quantiles)

    def _predict(self, observation: Any, deterministic: bool = True) -> torch.Tensor:
        return self.risk.of_quantiles(self(observation)).argmax(dim=1).reshape(-1)


class _WithRisk:
    """Makes `RiskNetwork` the network of a policy of sb3-contrib."""

    def make_quantile_net(self) -> RiskNetwork:
        options = self._update_features_extractor(self.net_args, features_extractor=None)  # type: ignore[attr-defined]
        return RiskNetwork(**options).to(self.device)  # type: ignore[attr-defined]


class RiskPolicy(_WithRisk, QRDQNPolicy):
    """For vectors."""


class RiskCnnPolicy(_WithRisk, CnnPolicy):
    """For images."""


class RiskMultiInputPolicy(_WithRisk, MultiInputPolicy):
    """For dictionaries of observations."""


class RiskSensitiveQRDQN(ActsByRisk, QRDQN):
    """QR-DQN that acts by a risk of the learned law instead of its mean.

    The networks, the replay, the exploration and the training are sb3-contrib's. ``risk`` may be changed at any time, also
    after training: the same weights then act with another caution.

    Acting by the risk of what is to come, at each step anew, is a heuristic: it optimises neither the risk of
    the whole return nor any other stated criterion. To aim at the risk of the whole return, show the agent what it has
    earned (`StockObservation`), and measure what came out with `audit`.

    Parameters
    ----------
    policy, env, options : as for `sb3_contrib.QRDQN`
    risk : "mean", "cvar:alpha", "wang:eta", "cpw:gamma" or "entrm:beta", see `Risk`
    risk_in_target : also bootstrap on the action that the risk prefers, instead of the one with the best mean

    Raises
    ------
    ValueError
        an unknown risk
    """

    policy_aliases: ClassVar[dict[str, Any]] = {
        "MlpPolicy": RiskPolicy,
        "CnnPolicy": RiskCnnPolicy,
        "MultiInputPolicy": RiskMultiInputPolicy,
    }

    def __init__(
        self, policy: Any, env: Any, *args: Any, risk: str | Risk = "mean", risk_in_target: bool = False, **options: Any
    ) -> None:
        self._risk = str(Risk.parse(risk))
        self._risk_in_target = bool(risk_in_target)
        super().__init__(policy, env, *args, **options)

    def _tell_networks(self) -> None:
        super()._tell_networks()
        self.quantile_net_target.risk = self.quantile_net.risk
        self.quantile_net_target.for_targets = self._risk_in_target  # type: ignore[assignment]
