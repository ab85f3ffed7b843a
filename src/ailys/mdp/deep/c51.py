"""C51 (Bellemare, Dabney, Munos 2017): laws on a fixed grid of atoms, on Stable-Baselines3's loop."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from sb3_contrib import QRDQN
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork

from .risk import ActsByRisk, Risk

__all__ = ["C51", "project"]


def project(atoms: torch.Tensor, values: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
    """(B, N) masses on equally spaced atoms (N,) of laws with masses (B, N) on values (B, N).

    Each mass is split between the two atoms beside its value, so that the mean is kept; what lies outside the grid goes to
    its ends.

    Examples
    --------
    >>> import torch
    >>> project(torch.arange(3.0), torch.tensor([[0.5, 1.0, 9.0]]), torch.tensor([[0.5, 0.25, 0.25]]))
    tensor([[0.2500, 0.5000, 0.2500]])
    """
    last = len(atoms) - 1
    place = ((values - atoms[0]) / (atoms[1] - atoms[0])).clamp(0, last)
    below = place.floor()
    share = place - below
    out = mass.new_zeros(len(mass), len(atoms))
    out.scatter_add_(1, below.long(), mass * (1 - share))
    out.scatter_add_(1, (below.long() + 1).clamp_max(last), mass * share)
    return out


class CategoricalNetwork(QuantileNetwork):
    """Logits of the masses of each action's law; acts by its risk."""

    risk: Risk = Risk()
    atoms: torch.Tensor

    def mass(self, obs: Any) -> torch.Tensor:
        """(B, N, A) masses of the atoms."""
        return self(obs).softmax(dim=1)

    def _predict(self, observation: Any, deterministic: bool = True) -> torch.Tensor:
        return self.risk.of_atoms(self.atoms, self.mass(observation)).argmax(dim=1).reshape(-1)


class CategoricalPolicy(QRDQNPolicy):
    """A network and its target, on atoms from ``v_min`` to ``v_max``."""

    def __init__(self, *args: Any, v_min: float = -10.0, v_max: float = 10.0, **options: Any) -> None:
        if not (np.isfinite([v_min, v_max]).all() and v_min < v_max):
            raise ValueError(f"v_min must be below v_max, both finite; got {v_min} and {v_max}")
        self.v_min, self.v_max = float(v_min), float(v_max)
        super().__init__(*args, **options)

    def make_quantile_net(self) -> CategoricalNetwork:
        options = self._update_features_extractor(self.net_args, features_extractor=None)
        network = CategoricalNetwork(**options)
        network.register_buffer("atoms", torch.linspace(self.v_min, self.v_max, network.n_quantiles))
        return network.to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"v_min": self.v_min, "v_max": self.v_max}


class C51(ActsByRisk, QRDQN):
    """Categorical DQN: the law of the return on ``n_atoms`` atoms between ``v_min`` and ``v_max``.

    Replay, exploration, target network and files are those of sb3-contrib's QR-DQN; the network's output, the projection and
    the loss (cross-entropy) are C51's. ``risk`` works as in `RiskSensitiveQRDQN`, at acting only.

    Parameters
    ----------
    policy : "MlpPolicy"
    env, options : as for `sb3_contrib.QRDQN`
    v_min, v_max : range of the returns; values beyond it are counted at its ends
    n_atoms : 51 in the paper
    risk : see `Risk`

    Raises
    ------
    ValueError
        ``v_min`` not below ``v_max``, fewer than 2 atoms, or an unknown risk
    """

    policy_aliases: ClassVar[dict[str, Any]] = {"MlpPolicy": CategoricalPolicy}

    def __init__(
        self,
        policy: Any,
        env: Any,
        *args: Any,
        v_min: float = -10.0,
        v_max: float = 10.0,
        n_atoms: int = 51,
        risk: str | Risk = "mean",
        **options: Any,
    ) -> None:
        if n_atoms < 2:
            raise ValueError(f"n_atoms must be at least 2; got {n_atoms}")
        self._risk = str(Risk.parse(risk))
        if "_init_setup_model" not in options:  # a new agent, not one that is being loaded
            grid = {"v_min": v_min, "v_max": v_max, "n_quantiles": n_atoms}
            options["policy_kwargs"] = {**(options.get("policy_kwargs") or {}), **grid}
        super().__init__(policy, env, *args, **options)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Gradient steps on the cross-entropy to the projected target laws."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        network: Any = self.quantile_net
        target_network: Any = self.quantile_net_target
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            discount = self.gamma if batch.discounts is None else batch.discounts
            with torch.no_grad():
                ahead = target_network.mass(batch.next_observations)
                best = torch.einsum("bna,n->ba", ahead, network.atoms).argmax(dim=1)
                ahead = ahead.gather(2, best[:, None, None].expand(-1, ahead.shape[1], 1)).squeeze(2)
                values = batch.rewards + (1 - batch.dones) * discount * network.atoms
                target = project(network.atoms, values, ahead)
            logits = network(batch.observations)
            taken = batch.actions.long()[:, None, :].expand(-1, logits.shape[1], 1)
            log_mass = logits.gather(2, taken).squeeze(2).log_softmax(dim=1)
            loss = -(target * log_mass).sum(dim=1).mean()
            losses.append(loss.item())
            self.policy.optimizer.zero_grad()
            loss.backward()
            if self.max_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))
