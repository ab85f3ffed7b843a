"""The law of the return of a policy: exact where that is possible, otherwise with a certified error.

Distributional dynamic programming: ``eta_h(s) = sum_j p_j shift(eta_{h+1}(n_j), r_j)`` (Bellemare, Dabney,
Rowland, *Distributional Reinforcement Learning*, 2023). Projections are followed by their error:
Wasserstein-1 is convex under mixtures and does not change under a common shift, so
``e_h(s) <= W1(projection, before it) + discount sum_j p_j e_{h+1}(n_j)``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from . import _law_kernels as kernels
from .lattice import check_step, lattice_step, whole_steps
from .model import TabularMDP
from .policies import RewardChain, induced_chain
from .returns import ReturnDistribution

__all__ = ["evaluate", "moments"]

_MERGE = 1e-14  # atoms nearer than this, relative to the largest sum of rewards met, are one: they differ by rounding
_MOST_STEPS = 10_000_000  # of an endless process
_CELLS = 200_000_000  # most entries (states x atoms) of a table of laws
_TAIL = 1e-6  # what the steps left out of an endless process may change, relative to the range of the return

Method = Literal["auto", "exact", "lattice", "sparse", "quantile", "categorical", "bracket"]


def evaluate(
    mdp: TabularMDP,
    policy: Any,
    method: Method = "auto",
    n_atoms: int | None = None,
    *,
    state: int | None = None,
    step: float | None = None,
    max_atoms: int = 100_000,
) -> ReturnDistribution:
    """Law of the return of a policy, from the model's first state.

    Parameters
    ----------
    policy : actions (S,) or (H, S), or probabilities (S, A) or (H, S, A)
    method : "exact" follows every atom: on the lattice of the rewards without discount, by sorted lists
        of atoms otherwise. "lattice" and "sparse" ask for one of the two. "quantile" keeps ``n_atoms`` atoms of
        equal mass, "categorical" a grid of ``n_atoms`` points (C51's projection, which keeps the mean),
        "bracket" two laws on such a grid, rewards rounded down and up, that enclose the true one.
        "auto" is exact if ``max_atoms`` suffice, and a bracket otherwise.
    n_atoms : size of a projected law; 1000 if not given
    state : first state, instead of the model's initial law
    step : step of the lattice or of the grid, instead of the one that is found
    max_atoms : an exact law on more atoms is refused

    Raises
    ------
    ValueError
        a policy that does not fit, rewards off the lattice, more atoms than ``max_atoms``

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=3)
    >>> law = evaluate(coin, [0])
    >>> law.atoms, law.weights
    (array([0., 1., 2., 3.]), array([0.125, 0.375, 0.375, 0.125]))
    """
    known = ("auto", "exact", "lattice", "sparse", "quantile", "categorical", "bracket")
    if method not in known:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(known)}")
    for name, number, least in (("n_atoms", n_atoms, 2), ("max_atoms", max_atoms, 1)):
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if number is not None and not (whole and number >= least):
            raise ValueError(f"{name} must be a whole number >= {least}; got {number!r}")
    if step is not None:
        step = check_step(step)
    if mdp.criterion == "total":
        raise ValueError(
            "the law of an endless sum is not followed; give the model a horizon with replace(horizon=...)"
        )
    if state is not None:
        mdp = mdp.replace(initial=state)
    chain = induced_chain(mdp, policy)
    horizon, shift, tail = _steps(mdp, chain)
    if method in ("auto", "exact", "lattice"):
        law = _exact(mdp, chain, horizon, method, step, max_atoms)
    elif method == "sparse":
        law = _sparse(mdp, chain, horizon, max_atoms)
    else:
        law = None
    if law is None:
        law = _projected(mdp, chain, horizon, "bracket" if method == "auto" else method, n_atoms or 1000, step)
    return _with_tail(law, shift, tail) if tail else law


def _steps(mdp: TabularMDP, chain: RewardChain) -> tuple[int, float, float]:
    """Decisions that are followed, the middle of what the others can add, and half of its range."""
    if mdp.horizon is not None:
        return mdp.horizon, 0.0, 0.0
    low, high = float(chain.reward.min()), float(chain.reward.max())
    if low == high == 0:
        return 1, 0.0, 0.0
    wanted = math.log(_TAIL) / math.log(mdp.discount)
    horizon = max(1, math.ceil(wanted))
    if horizon > _MOST_STEPS:
        raise ValueError(
            f"a discount of {mdp.discount!r} needs {horizon} steps to be followed; give the model a horizon"
        )
    factor = mdp.discount**horizon / (1 - mdp.discount)
    # where nothing is at stake any more (an end was reached) the rewards are 0, which lie between low and high
    return horizon, factor * (low + high) / 2, factor * (high - low) / 2


def _with_tail(law: ReturnDistribution, shift: float, tail: float) -> ReturnDistribution:
    """The law of the endless process from that of its first steps."""
    if law.lower is None or law.upper is None:
        lower, upper = law, law
    else:
        lower, upper = law.lower, law.upper
    enclosing: dict[str, Any] = {}
    if law.w1_error == 0 or law.lower is not None:
        enclosing = {
            "lower": replace(lower, atoms=lower.atoms + shift - tail),
            "upper": replace(upper, atoms=upper.atoms + shift + tail),
        }
    low, high = law.notes.get("range", law.support)
    return replace(
        law,
        atoms=law.atoms + shift,
        w1_error=law.w1_error + tail,
        a_priori=law.a_priori + tail,
        notes={**law.notes, "range": (low + shift - tail, high + shift + tail)},
        **enclosing,
    )


def _exact(
    mdp: TabularMDP, chain: RewardChain, horizon: int, method: str, step: float | None, max_atoms: int
) -> ReturnDistribution | None:
    if mdp.discount == 1:
        step = step if step is not None else lattice_step(chain.reward)
        if step is None:
            if method == "lattice":
                raise ValueError("the rewards have no common step; use method 'sparse' or a projection")
        else:
            steps = whole_steps(chain.reward, step)
            low, high = _range_of_steps(mdp, chain, horizon, steps)
            n = high - low + 1
            if n <= max_atoms and n * mdp.n_states <= _CELLS:
                return _lattice(mdp, chain, horizon, steps, step, low, n)
            if method == "lattice":
                raise ValueError(
                    f"the law may need {n} atoms of step {step:g}, more than max_atoms = {max_atoms}; "
                    "raise max_atoms, or use method 'quantile', 'categorical' or 'bracket'"
                )
    elif method == "lattice":
        raise ValueError("a discounted return has no lattice; use method 'sparse' or a projection")
    if method == "auto":
        try:
            return _sparse(mdp, chain, horizon, min(max_atoms, 20_000))
        except ValueError:
            return None
    return _sparse(mdp, chain, horizon, max_atoms)


def _range_of_steps(mdp: TabularMDP, chain: RewardChain, horizon: int, steps: np.ndarray) -> tuple[int, int]:
    """Smallest and largest partial sum of steps that is met on a path from the first state."""
    low, high = kernels.reachable_sums(
        chain.indptr, chain.next_state, steps, chain.n_states, chain.n_stages, horizon, mdp.initial
    )
    return int(low), int(high)


def _lattice(
    mdp: TabularMDP, chain: RewardChain, horizon: int, steps: np.ndarray, step: float, low: int, n: int
) -> ReturnDistribution:
    joint = kernels.forward_lattice(
        chain.indptr, chain.next_state, chain.prob, steps, chain.n_states, chain.n_stages, horizon, mdp.initial, low, n
    )
    mass = joint.sum(axis=0)
    live = np.flatnonzero(mass)
    weights = mass[live]
    return ReturnDistribution((low + live) * step, weights / weights.sum(), method="exact, lattice")


def _sparse(mdp: TabularMDP, chain: RewardChain, horizon: int, max_atoms: int) -> ReturnDistribution:
    """Atoms of (state, sum of rewards so far), step by step, equal ones merged."""
    state = np.flatnonzero(mdp.initial)
    mass, total = mdp.initial[state], np.zeros(len(state))
    factor, largest = 1.0, 0.0
    for h in range(horizon):
        row = state + (h * chain.n_states if chain.n_stages > 1 else 0)
        count = chain.indptr[row + 1] - chain.indptr[row]
        ends = np.cumsum(count)
        if ends[-1] > 50 * max_atoms:
            raise _too_many(max_atoms)
        take = np.repeat(chain.indptr[row] - ends + count, count) + np.arange(ends[-1])
        mass = np.repeat(mass, count) * chain.prob[take]
        total = np.repeat(total, count) + factor * chain.reward[take]
        largest = max(largest, float(np.abs(total).max()))
        state, total, mass = _merged(chain.next_state[take].astype(np.int64), total, mass, largest)
        if len(state) > max_atoms:
            raise _too_many(max_atoms)
        factor *= mdp.discount
    _, total, mass = _merged(np.zeros(len(state), np.int64), total, mass, largest)
    return ReturnDistribution(total, mass / mass.sum(), method="exact, sorted atoms")


def _too_many(max_atoms: int) -> ValueError:
    return ValueError(
        f"the law needs more than max_atoms = {max_atoms} atoms; raise max_atoms, "
        "or use a projection: method 'quantile', 'categorical' or 'bracket'"
    )


def _merged(
    state: np.ndarray, total: np.ndarray, mass: np.ndarray, largest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort((total, state))
    state, total, mass = state[order], total[order], mass[order]
    near = _MERGE * largest
    fresh = np.ones(len(state), bool)
    fresh[1:] = (state[1:] != state[:-1]) | (np.diff(total) > near)
    at = np.flatnonzero(fresh)
    return state[at], total[at], np.add.reduceat(mass, at)


def _projected(
    mdp: TabularMDP, chain: RewardChain, horizon: int, method: str, n_atoms: int, step: float | None
) -> ReturnDistribution:
    arrays = chain.indptr, chain.next_state, chain.prob, chain.reward, chain.n_states, chain.n_stages
    low, high = kernels.return_range(
        chain.indptr,
        chain.next_state,
        chain.reward,
        False,
        chain.n_states,
        1,
        chain.n_stages,
        horizon,
        mdp.discount,
    )
    start = mdp.initial > 0
    notes = {"range": (float(low[0, start].min()), float(high[0, start].max()))}
    if method == "quantile":
        atoms, error = kernels.backward_quantiles(*arrays, horizon, mdp.discount, n_atoms)
        # a priori: half a level of the range at each step, the widest range of each time
        spans = (high - low)[:-1].max(axis=1)
        a_priori = float(mdp.discount ** np.arange(horizon) @ spans) / (2 * n_atoms)
        weights = np.repeat(mdp.initial[start] / n_atoms, n_atoms)
        law = _collected(atoms[start].ravel(), weights)
        return replace(
            law, w1_error=float(mdp.initial @ error), a_priori=a_priori, method=f"{n_atoms} quantiles", notes=notes
        )
    bottom, top = min(0.0, float(low.min())), max(0.0, float(high.max()))
    delta = step if step is not None else max(top - bottom, 1e-300) / (n_atoms - 1)
    first = math.floor(bottom / delta) - 1
    n = math.ceil(top / delta) + 1 - first + 1
    if n * mdp.n_states > _CELLS:
        raise ValueError(
            f"a grid of {n:.6g} points for {mdp.n_states} states is too large; take fewer n_atoms or a larger step"
        )
    steps_paid = float((mdp.discount ** np.arange(horizon)).sum()) * delta
    if method == "categorical":
        law, error = _on_grid(mdp, arrays, horizon, first, delta, n, kernels.LINEAR)
        return replace(
            law, w1_error=error, a_priori=steps_paid / 2, method=f"categorical, step {delta:.3g}", notes=notes
        )
    lower, _ = _on_grid(mdp, arrays, horizon, first, delta, n, kernels.DOWN)
    upper, _ = _on_grid(mdp, arrays, horizon, first, delta, n, kernels.UP)
    return replace(
        lower,
        w1_error=upper.mean - lower.mean,
        lower=lower,
        upper=upper,
        # with a discount both ends are rounded anew at each step, without one only the rewards are
        a_priori=steps_paid * (1 if mdp.discount == 1 else 2),
        method=f"bracket, step {delta:.3g}",
        notes=notes,
    )


def _on_grid(
    mdp: TabularMDP, arrays: tuple[Any, ...], horizon: int, first: int, delta: float, n: int, mode: int
) -> tuple[ReturnDistribution, float]:
    mass, error = kernels.backward_grid(*arrays, horizon, mdp.discount, first, delta, n, mode)  # type: ignore[call-arg]
    weights = mdp.initial @ mass
    live = np.flatnonzero(weights)
    law = ReturnDistribution((first + live) * delta, weights[live] / weights[live].sum())
    return law, float(mdp.initial @ error)


def _collected(atoms: np.ndarray, weights: np.ndarray) -> ReturnDistribution:
    values, inverse = np.unique(atoms, return_inverse=True)
    mass = np.bincount(inverse, weights=weights)
    return ReturnDistribution(values, mass / mass.sum())


def moments(mdp: TabularMDP, policy: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the return from every state (S,), without its law.

    The variance is centred at the value: ``Var_h(s) = E[(r + g m_{h+1} - m_h)^2 + g^2 Var_{h+1}]``, which loses no
    digits to a large mean.

    Parameters
    ----------
    mdp : model with a horizon or a discount
    policy : actions (S,) or (H, S), or probabilities of actions (S, A) or (H, S, A)

    Raises
    ------
    ValueError
        the policy does not fit the model, or the model is an endless undiscounted sum

    Examples
    --------
    >>> coin = TabularMDP.from_outcomes([[[(0.5, 0, 1), (0.5, 0, 0)]]], horizon=4)
    >>> [float(m[0]) for m in moments(coin, [0])]
    [2.0, 1.0]
    """
    from scipy.sparse import csr_array, eye_array
    from scipy.sparse.linalg import spsolve

    if mdp.criterion == "total":
        raise ValueError("moments of an endless undiscounted sum are not computed; give the model a horizon")
    chain = induced_chain(mdp, policy)
    S, discount = chain.n_states, mdp.discount
    owner = np.repeat(np.arange(S * chain.n_stages), np.diff(chain.indptr))
    if mdp.horizon is None:
        P = csr_array((chain.prob, chain.next_state, chain.indptr), shape=(S, S))
        average = np.bincount(owner, weights=chain.prob * chain.reward, minlength=S)
        fixed = np.atleast_1d(spsolve((eye_array(S) - discount * P).tocsc(), average))
        surprise = (chain.reward + discount * fixed[chain.next_state] - fixed[owner]) ** 2
        noise = np.bincount(owner, weights=chain.prob * surprise, minlength=S)
        return fixed, np.atleast_1d(spsolve((eye_array(S) - discount**2 * P).tocsc(), noise))
    mean: np.ndarray = np.zeros(S)
    variance: np.ndarray = np.zeros(S)
    for h in range(mdp.horizon - 1, -1, -1):
        stage = h if chain.n_stages > 1 else 0
        part = slice(int(chain.indptr[stage * S]), int(chain.indptr[(stage + 1) * S]))
        p, n, r, s = chain.prob[part], chain.next_state[part], chain.reward[part], owner[part] - stage * S
        value = np.bincount(s, weights=p * (r + discount * mean[n]), minlength=S)
        spread = (r + discount * mean[n] - value[s]) ** 2 + discount**2 * variance[n]
        mean, variance = value, np.bincount(s, weights=p * spread, minlength=S)
    return mean, variance
