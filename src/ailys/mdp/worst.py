"""The adversary behind the entropic risk.

For ``beta < 0``, ``entrm = min over laws Q of {E_Q G + KL(Q || P) / |beta|}``: to be averse to risk is to plan against a
nature that tilts each transition and pays for it. The minimiser tilts the outcome j by
``exp(beta (r_j + V_{h+1}(n_j)))``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .entrm import evaluate_all, risk_at_start
from .model import TabularMDP
from .policies import check_policy
from .returns import check_beta

__all__ = ["WorstCase", "worst_case_model"]


@dataclass(frozen=True, eq=False)
class WorstCase:
    """The tilted model, the divergence paid on a path from the start, and the two terms of the entropic risk.

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=1)
    >>> worst = worst_case_model(coin, [0], -1.0)
    >>> round(worst.mean, 3), round(worst.divergence, 3), round(worst.mean + worst.divergence, 3) == round(worst.entrm, 3)
    (0.269, 0.111, True)
    """

    model: TabularMDP = field(repr=False)
    divergence: float
    mean: float
    entrm: float
    beta: float


def worst_case_model(mdp: TabularMDP, policy: Any, beta: float) -> WorstCase:
    """The law of the transitions that the entropic risk of a policy fears (beta < 0) or hopes for (beta > 0).

    Parameters
    ----------
    policy : actions (S,) or (H, S)
    beta : finite, not 0

    Returns
    -------
    WorstCase : ``model`` has the same outcomes as ``mdp`` with tilted probabilities at each time; the path's
        divergence is ``beta (mean - entrm)``

    Raises
    ------
    ValueError
        ``beta`` is 0 or infinite, the policy is not a table of actions of the model, or the model has no horizon or a
        discount

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=1)
    >>> worst = worst_case_model(coin, [0], -1.0)
    >>> [(round(p, 3), r) for p, _, r in worst.model.outcomes(0, 0)]
    [(0.269, 1.0), (0.731, 0.0)]
    """
    beta = check_beta(beta)
    if beta == 0 or not np.isfinite(beta):
        raise ValueError(f"the worst case is computed for finite beta other than 0; got {beta!r}")
    if check_policy(mdp, policy).dtype.kind == "f":
        raise ValueError(
            "the worst case is computed for policies of actions, not of probabilities; give (S,) or (H, S) actions"
        )
    value, tilted = evaluate_all(mdp, policy, beta)
    H, S, A = mdp.horizon or 1, mdp.n_states, mdp.n_actions
    copies = H if mdp.n_stages == 1 else 1
    prob, following, reward = (np.tile(x, copies) for x in (mdp.prob, mdp.next_state, mdp.reward))
    counts = np.tile(np.diff(mdp.indptr), copies)
    owner = np.repeat(np.arange(H * S * A), counts)
    exponent = beta * (reward + value[owner // (S * A) + 1, following])
    top = np.full(H * S * A, -np.inf)
    np.maximum.at(top, owner, exponent)
    weight = prob * np.exp(exponent - top[owner])
    total = np.bincount(owner, weights=weight, minlength=H * S * A)
    model = TabularMDP(
        np.concatenate([[0], np.cumsum(counts)]), following, weight / total[owner], reward, S, A, horizon=H,
        initial=mdp.initial, terminal=mdp.terminal, mask=np.broadcast_to(mdp.mask, (H, S, A)), labels=mdp.labels,
    )  # fmt: skip
    entrm = risk_at_start(mdp, value[0], beta)
    tilt = mdp.initial * np.exp(beta * (value[0] - entrm))
    mean = float(tilt @ tilted[0] / tilt.sum())
    return WorstCase(model, beta * (mean - entrm), mean, entrm, beta)
