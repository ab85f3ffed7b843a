"""The entropic risk of a discounted, endless return.

``v_t(s) = max_a ERM_{beta g^t}[r + g v_{t+1}(n)]``: the risk parameter fades with time, so the optimal policy changes
with time although the process is endless (Hau, Petrik and Ghavamzadeh, AISTATS 2023). After T steps the risk-neutral
values are used; the loss is at most ``|beta| g^(2T) D^2 / (8 (1 - g)^2)``, D being the range of the rewards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .entrm import EntRMSolution, entropic_backups, risk_at_start
from .model import TabularMDP
from .policies import policy_dtype
from .solve import solve

__all__ = ["solve_discounted"]

_LOSS = 1e-9  # allowed loss of the truncation


def solve_discounted(mdp: TabularMDP, beta: float, *, prefer: Any = None, with_q: bool = False) -> EntRMSolution:
    """The largest entropic risk of ``sum_t g^t r_t``; with a horizon exactly, otherwise up to 1e-9 and its bound."""
    if with_q:
        raise ValueError("the values of all actions are returned for undiscounted models only; leave out with_q=")
    if prefer is not None:
        raise ValueError("prefer= is for undiscounted models; leave it out")
    g, S = mdp.discount, mdp.n_states
    bound, end = 0.0, np.zeros(S)
    if mdp.horizon is not None:
        T = mdp.horizon
    elif math.isinf(beta):
        raise ValueError("the worst case of an endless discounted return is not computed; give a horizon")
    else:
        neutral = solve(mdp, tol=_LOSS / 4)
        end = neutral.value
        width = float(mdp._reward.max() - mdp._reward.min())
        loss = abs(beta) * width**2 / (8 * (1 - g) ** 2)
        T = 1 if loss <= _LOSS else max(1, math.ceil(math.log(_LOSS / loss) / (2 * math.log(g))))
        # the error of the end values is discounted too
        bound = loss * g ** (2 * T) + g**T * (2 * neutral.bound + neutral.tie_loss)
        # the rounding of the steps that are followed, each discounted by those before it
        size = float(np.abs(mdp._reward).max()) / (1 - g)
        bound += 16 * float(np.finfo(float).eps) * (int(np.diff(mdp.indptr).max()) + 4) * size / (1 - g)
    table = np.empty((T + 1 if T == 1 else 2, S))
    policy = np.empty((T, S), policy_dtype(mdp.n_actions))
    entropic_backups(mdp, beta * g ** np.arange(T), g, end, None, table, policy)
    value = table[0].copy()
    return EntRMSolution(value, policy, beta, None, None, risk_at_start(mdp, value, beta), bound, "logsumexp")
