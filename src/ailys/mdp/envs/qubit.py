"""A qubit: bring a spin from one state to another with pulses of two strengths (Bukov et al. 2018)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces

from ..model import TabularMDP
from .base import TableEnv, number, whole

__all__ = ["Qubit"]

FIELDS = (-4.0, 4.0)
_MOST_STATES = 500_000


class Qubit(TableEnv):
    """Bang-bang control of one spin 1/2.

    ``H(h) = -S^z - h S^x``; the spin starts in the ground state of H(-2) and should end in that of H(+2).
    There are ``n_pulses`` equal pulses of total duration ``total_time``; action 0 is the field h = -4, action 1
    is h = +4. The reward comes with the last pulse: the fidelity ``|<target|psi>|^2``. The
    observation is the Bloch vector and the share of the time that is left.

    Parameters
    ----------
    n_pulses : number of pulses
    total_time : duration of all pulses together, in units of the inverse splitting
    noise : each pulse has the field ``h (1 + noise)`` or ``h (1 - noise)`` with probability 1/2 each

    Raises
    ------
    ValueError
        a parameter outside its range; the sentence names it

    Examples
    --------
    >>> env = Qubit(n_pulses=2, total_time=1.0)
    >>> round(float(env.fidelity(env.initial_bloch)), 3), env.to_mdp()
    (0.2, TabularMDP(4 states, 2 actions, 8 outcomes, horizon 2))
    """

    metadata = {"render_modes": []}  # noqa: RUF012
    initial_bloch = np.array([-2.0, 0.0, 1.0]) / math.sqrt(5)
    target_bloch = np.array([2.0, 0.0, 1.0]) / math.sqrt(5)

    def __init__(self, n_pulses: int = 8, total_time: float = 2.0, noise: float = 0.0) -> None:
        self.n_pulses = self.horizon = whole(n_pulses, "n_pulses")
        self.total_time = number(total_time, "total_time", 0)
        self.noise = number(noise, "noise", 0)
        self.observation_space = spaces.Box(
            np.array([-1.0, -1.0, -1.0, 0.0], np.float32), np.ones(4, np.float32), dtype=np.float32
        )
        self.action_space = spaces.Discrete(2)
        signs = (1.0,) if self.noise == 0 else (1 + self.noise, 1 - self.noise)
        duration = self.total_time / self.n_pulses
        # (action, sign) rotations of the Bloch vector
        self._rotations = np.array([[pulse(h * sign, duration) for sign in signs] for h in FIELDS])
        self._bloch = self.initial_bloch

    def fidelity(self, bloch: np.ndarray) -> Any:
        """(...) overlap with the target of Bloch vectors (..., 3)."""
        return (1 + np.asarray(bloch) @ self.target_bloch) / 2

    def tree(self) -> list[np.ndarray]:
        """Bloch vectors before each pulse and after the last one: ``(k^t, 3)`` for k = 2, or 4 with noise.

        The children of node i are ``k i + (number of signs) * action + sign``.
        """
        moves = self._rotations.reshape(-1, 3, 3)
        levels = [self.initial_bloch[None, :]]
        for _ in range(self.n_pulses):
            levels.append(np.einsum("mij,nj->nmi", moves, levels[-1]).reshape(-1, 3))
        return levels

    def to_mdp(self) -> TabularMDP:
        """The exact law: the nodes of the tree of pulses, level after level, then the absorbing end."""
        branches = self._rotations.shape[0] * self._rotations.shape[1]
        sizes = [branches**t for t in range(self.n_pulses)]
        n_states = sum(sizes) + 1
        if n_states > _MOST_STATES:
            raise ValueError(
                f"{self.n_pulses} pulses make a tree of {n_states} states; to_mdp() takes at most {_MOST_STATES}: "
                "use fewer pulses, or no noise"
            )
        final = self.fidelity(self.tree()[-1])
        n_inner = n_states - 1 - sizes[-1]
        # breadth first, so the children of node i are k i + 1, ..., k i + k
        following = np.full((n_states - 1, branches), n_states - 1)
        following[:n_inner] = branches * np.arange(n_inner)[:, None] + 1 + np.arange(branches)
        reward = np.zeros((n_states - 1, branches))
        reward[n_inner:] = final.reshape(-1, branches)
        signs = branches // 2
        ends = np.full((1, 2 * signs), n_states - 1)
        return TabularMDP(
            signs * np.arange(2 * n_states + 1),
            np.concatenate([following, ends]).ravel(),
            np.full(n_states * branches, 1 / signs),
            np.concatenate([reward, np.zeros((1, branches))]).ravel(),
            n_states,
            2,
            horizon=self.n_pulses,
            terminal=[n_states - 1],
        )

    def state_observations(self) -> np.ndarray:
        """(S, 4) what is observed in each state of `to_mdp`, in its order."""
        rows = [
            np.column_stack([level, np.full(len(level), 1 - t / self.n_pulses)])
            for t, level in enumerate(self.tree()[:-1])
        ]
        return np.concatenate([*rows, np.zeros((1, 4))]).astype(np.float32)

    def best_fidelity(self) -> tuple[float, tuple[int, ...]]:
        """The best pulse sequence without noise, by looking at all ``2^n_pulses`` of them."""
        if self.noise:
            raise ValueError("best_fidelity looks at sequences without noise; solve to_mdp() instead")
        if self.n_pulses > 20:
            raise ValueError(f"best_fidelity looks at all sequences; at most 20 pulses, got {self.n_pulses}")
        final = self.fidelity(self.tree()[-1])
        best = int(np.argmax(final))
        return float(final[best]), tuple(best >> (self.n_pulses - 1 - t) & 1 for t in range(self.n_pulses))

    def _begin(self) -> np.ndarray:
        self._bloch = self.initial_bloch
        return self._observation(0)

    def _observation(self, pulses: int) -> np.ndarray:
        return np.clip(np.append(self._bloch, 1 - pulses / self.n_pulses), -1, 1).astype(np.float32)

    def _step(self, action: int) -> tuple[np.ndarray, float, bool]:
        sign = int(self.np_random.integers(self._rotations.shape[1]))
        self._bloch = self._rotations[action, sign] @ self._bloch
        last = self.stage + 1 == self.n_pulses
        return self._observation(self.stage + 1), float(self.fidelity(self._bloch)) if last else 0.0, last


def pulse(field: float, duration: float) -> np.ndarray:
    """(3, 3) what a pulse does to a Bloch vector.

    ``U = cos(w t/2) I + i sin(w t/2) (sigma_z + h sigma_x) / w`` with ``w = sqrt(1 + h^2)`` turns it by the
    angle ``-w t`` about the axis ``(h, 0, 1) / w`` (Rodrigues' formula).
    """
    w = math.hypot(1.0, field)
    x, z = field / w, 1 / w
    cross = np.array([[0.0, -z, 0.0], [z, 0.0, -x], [0.0, x, 0.0]])
    angle = -w * duration
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
