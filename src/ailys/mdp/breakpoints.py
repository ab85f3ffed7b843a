"""The exact front: an optimal policy on each interval between breakpoints, which are bracketed.

On an interval of one sign let K be ``beta V(beta)`` of a policy and K_a the same with action a first. Both are convex and
their derivatives are the tilted means, so tangents lie below and chords above. For beta > 0 the policy is optimal on
the interval if the chord of K_a is below the tangents of K; for beta < 0 if the chord of K is below those of K_a. This
test is of second order: cells become small only around breakpoints.
"""

from __future__ import annotations

import itertools

import numpy as np

from .entrm import all_actions, evaluate_all, evaluate_entrm, return_reach, risk_at_start, solve_entrm
from .evaluate import evaluate
from .front import OptimalityFront, Segment
from .model import TabularMDP
from .returns import ReturnDistribution
from .solve import tie_of

__all__ = ["exact_front", "on_path"]

_SLACK = 1e-10  # differences below this, relative, are ties
_MOST_CELLS = 100_000

_Ends = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def on_path(mdp: TabularMDP, policy: np.ndarray | None) -> np.ndarray:
    """(H, S) states that can be met at each time under a policy, or under any policy at all (None)."""
    H, S, A = mdp.horizon or 1, mdp.n_states, mdp.n_actions
    owner = np.repeat(np.arange(len(mdp.indptr) - 1), np.diff(mdp.indptr))
    state, action, stage = owner // A % S, owner % A, owner // (A * S)
    met = np.zeros((H + 1, S), bool)
    met[0] = mdp.initial > 0
    for h in range(H):
        taken = met[h, state] & (stage == (h if mdp.n_stages > 1 else 0))
        if policy is not None:
            taken &= policy[h, state] == action
        met[h + 1, mdp.next_state[taken]] = True
    return met[:-1]


def exact_front(mdp: TabularMDP, beta_min: float, beta_max: float, tol: float) -> OptimalityFront:
    """Segments with one optimal policy each; where the policy changes is known to within ``tol``."""
    reachable = on_path(mdp, None)
    ends = sorted({beta_min, beta_max} | ({0.0} if beta_min < 0 < beta_max else set()))
    cells: list[tuple[float, float, np.ndarray, bool]] = []
    solves = 0
    for left, right in itertools.pairwise(ends) if len(ends) > 1 else [(beta_min, beta_min)]:
        stack = [(left, right)]
        while stack:
            b0, b1 = stack.pop()
            policy = solve_entrm(mdp, (b0 + b1) / 2).policy
            optimal = b0 == b1 or _optimal_on(mdp, policy, b0, b1, reachable)
            solves += 5
            if optimal or b1 - b0 <= tol:
                cells.append((b0, b1, policy, optimal))
            else:
                middle = (b0 + b1) / 2
                stack += [(middle, b1), (b0, middle)]
            if len(cells) + len(stack) > _MOST_CELLS:
                raise ValueError("the exact front has too many cells; allow an epsilon > 0, or a larger tol")
    return _merged(mdp, cells, solves, tol)


def _optimal_on(mdp: TabularMDP, policy: np.ndarray, b0: float, b1: float, reachable: np.ndarray) -> bool:
    """Whether no single deviation is better anywhere on the interval; then no policy is."""
    first, last = _at(mdp, policy, b0), _at(mdp, policy, b1)
    v, t, q, tq = (np.stack(pair) for pair in zip(first, last, strict=True))  # (2, H, S[, A])
    unit = tie_of(mdp, 1.0)
    same = np.abs(q - v[..., None]) <= _SLACK * (unit + np.abs(v[..., None]))
    same &= np.abs(tq - t[..., None]) <= _SLACK * (unit + np.abs(t[..., None]))
    # an action with the same values and slopes at both ends is the policy's own, or as good as it
    allowed = reachable[:, :, None] & np.isfinite(first[2]) & ~same.all(axis=0)

    def table(values: np.ndarray) -> np.ndarray:
        return (np.broadcast_to(values[:, :, None], allowed.shape) if values.ndim == 2 else values)[allowed]

    v0, t0, q0, tq0 = (table(x) for x in first)
    v1, t1, q1, tq1 = (table(x) for x in last)
    if b1 <= 0:  # for beta < 0 the order of K is the reverse of that of the values
        chord, below = (b0 * v0, b1 * v1), (b0 * q0, tq0, b1 * q1, tq1)
    else:
        chord, below = (b0 * q0, b1 * q1), (b0 * v0, t0, b1 * v1, t1)
    slack = _SLACK * (b1 - b0) * (unit + np.abs(v0) + np.abs(v1))
    k0, s0, k1, s1 = below
    if (chord[0] > k0 + slack).any() or (chord[1] > k1 + slack).any():
        return False
    # the two tangents cross where their larger one is lowest
    bend = s1 - s0
    cross = np.where(bend > 0, (k0 - k1 + s1 * b1 - s0 * b0) / np.where(bend > 0, bend, 1.0), b0)
    cross = np.clip(cross, b0, b1)
    tangent = np.maximum(k0 + s0 * (cross - b0), k1 + s1 * (cross - b1))
    line = chord[0] + (chord[1] - chord[0]) * (cross - b0) / (b1 - b0)
    return bool((line <= tangent + slack).all())


def _at(mdp: TabularMDP, policy: np.ndarray, beta: float) -> _Ends:
    value, tilted = evaluate_all(mdp, policy, beta)
    q, tilted_q = all_actions(mdp, beta, value, tilted)
    return value[:-1], tilted[:-1], q, tilted_q


def _merged(
    mdp: TabularMDP, cells: list[tuple[float, float, np.ndarray, bool]], solves: int, tol: float
) -> OptimalityFront:
    """Neighbours that differ only where they never go are one segment; a breakpoint is polished from the two laws."""
    reach = return_reach(mdp)
    width = reach.width
    runs: list[tuple[float, float, np.ndarray]] = []
    brackets: list[tuple[float, float]] = []
    pending: float | None = None  # left end of a bracket that is still open
    for b0, b1, policy, optimal in cells:
        if not optimal:
            pending = b0 if pending is None else pending
            continue
        if runs and _same(mdp, runs[-1][2], policy):
            runs[-1] = (runs[-1][0], b1, runs[-1][2])
        else:
            if runs:
                brackets.append((b0 if pending is None else pending, b0))
            runs.append((b0, b1, policy))
        pending = None
    if not runs:
        b0, b1, policy = cells[0][0], cells[-1][1], cells[0][2]
        runs = [(b0, b1, policy)]
    laws = [_law(mdp, policy) for _, _, policy in runs]
    cuts = [_polished(*pair, bracket) for pair, bracket in zip(itertools.pairwise(laws), brackets, strict=True)]
    edges = [cells[0][0], *cuts, cells[-1][1]]
    # what the tests of optimality forgive at each time
    forgiven = 4 * _SLACK * (mdp.horizon or 1) * (tie_of(mdp, 1.0) + reach.size)
    open_cells = [(b0, b1) for b0, b1, _, optimal in cells if not optimal]
    segments = []
    for low, high, run in zip(edges[:-1], edges[1:], runs, strict=True):
        # a cell that was not settled may hide policies that are better there: what is lost is measured at both ends
        loss = 0.0
        for b0, b1 in open_cells:
            left, right = max(low, b0), min(high, b1)
            if left <= right:
                gaps = [_lost(mdp, run[2], beta) for beta in (left, right)]
                loss = max(loss, max(gaps) + width**2 * (np.sqrt(abs(right)) - np.sqrt(abs(left))) ** 2 / 8)
                solves += 4
        segments.append(Segment(low, high, run[2], float(loss) + forgiven))
    nodes = np.array(sorted({cell[0] for cell in cells} | {cells[-1][1]}))
    values = np.array([solve_entrm(mdp, beta).start_value for beta in nodes])
    solves += len(nodes)
    return OptimalityFront(tuple(segments), nodes, values, width, solves, 0.0, tuple(laws), mdp, tuple(brackets))


def _lost(mdp: TabularMDP, policy: np.ndarray, beta: float) -> float:
    """What a policy is short of the best one at one parameter."""
    own = risk_at_start(mdp, evaluate_entrm(mdp, policy, beta).value, beta)
    return max(0.0, solve_entrm(mdp, beta).start_value - own)


def _same(mdp: TabularMDP, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two policies act alike wherever the first one can get."""
    return bool((one == other)[on_path(mdp, one)].all())


def _law(mdp: TabularMDP, policy: np.ndarray) -> ReturnDistribution | None:
    try:
        return evaluate(mdp, policy, "exact")
    except ValueError:
        return None


def _polished(
    before: ReturnDistribution | None, after: ReturnDistribution | None, bracket: tuple[float, float]
) -> float:
    """Where the values of two neighbours cross inside a bracket; its middle where that cannot be told."""
    from scipy.optimize import brentq

    low, high = bracket
    if before is not None and after is not None and low < high:

        def gap(beta: float) -> float:
            return before.entrm(beta) - after.entrm(beta)

        if gap(low) * gap(high) < 0:
            return float(brentq(gap, low, high, xtol=1e-15, rtol=1e-14))
    return (low + high) / 2
