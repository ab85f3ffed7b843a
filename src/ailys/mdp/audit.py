"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..core.claim import Claim
from .audit_learning import CLAIMS as LEARNING_CLAIMS
from .entrm import evaluate_entrm, return_reach, solve_entrm
from .evaluate import evaluate
from .front import entrm_front
from .model import TabularMDP
from .policies import induced_chain
from .returns import ReturnDistribution
from .risks import optimize_cvar, optimize_evar, optimize_threshold, optimize_var
from .simulate import simulate
from .solve import solve
from .worst import worst_case_model

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def _model(rng: Rng, whole: bool = False, horizon: int | None = None, discount: float | None = None) -> TabularMDP:
    """A small random model, with sparse rows, sometimes large rewards and forbidden actions."""
    S, A = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    scale = float(10.0 ** rng.integers(-1, 3))
    outcomes = []
    for _s in range(S):
        actions = []
        for a in range(A):
            m = int(rng.integers(1, 4))
            p = rng.dirichlet(np.ones(m))
            r = rng.integers(-4, 5, m) * 0.5 if whole else rng.standard_normal(m) * scale
            actions.append(
                [(float(p[j]), int(rng.integers(S)), float(r[j])) for j in range(m)]
                if a == 0 or rng.random() < 0.8
                else []
            )
        outcomes.append(actions)
    options = {"discount": discount} if discount is not None else {"horizon": horizon or int(rng.integers(1, 7))}
    return TabularMDP.from_outcomes(outcomes, initial=rng.dirichlet(np.ones(S)), **options)


def _policy(rng: Rng, mdp: TabularMDP) -> np.ndarray:
    """Random allowed actions (H, S)."""
    wish = rng.random((mdp.horizon or 1, mdp.n_states, mdp.n_actions))
    return np.where(mdp.mask, wish, -1.0).argmax(axis=2)


def _rival(rng: Rng, mdp: TabularMDP, start: np.ndarray) -> np.ndarray:
    """A policy that could be better: a random one, or the given one with one action changed."""
    other = _policy(rng, mdp)
    if rng.random() < 0.3:
        return other
    h, s = int(rng.integers(len(start))), int(rng.integers(mdp.n_states))
    changed = np.array(start)
    changed[h, s] = other[h, s]
    return changed


def values_are_within_their_bound(rng: Rng) -> bool:
    """Values against a dense solve of the returned policy, and of a rival policy; with a horizon or a discount."""
    if rng.random() < 0.3:
        return _horizon_bound_fails(rng)
    mdp = _model(rng, discount=float(rng.uniform(0.3, 0.99)))
    scale = 1 + np.abs(mdp.reward).max() / (1 - mdp.discount)
    answer = solve(mdp, str(rng.choice(["mpi", "vi", "pi"])), tol=float(10 ** rng.uniform(-9, 0)) * scale)  # type: ignore[arg-type]
    own = _dense_value(mdp, answer.policy)
    rival = _dense_value(mdp, _policy(rng, mdp)[0])
    slack = 1e-11 * scale
    return bool(
        (own > answer.value + answer.bound + slack).any()
        or (answer.value - own > answer.policy_loss + slack).any()
        or (rival > answer.value + answer.bound + slack).any()
    )


def _horizon_bound_fails(rng: Rng) -> bool:
    mdp = _model(rng)
    answer = solve(mdp)
    own = evaluate(mdp, answer.policy, "sparse").mean
    rival = evaluate(mdp, _rival(rng, mdp, answer.policy), "sparse").mean
    slack = 1e-11 * (1 + return_reach(mdp).size)
    return bool(
        abs(own - answer.start_value) > answer.policy_loss + slack or rival > answer.start_value + answer.bound + slack
    )


def _dense_value(mdp: TabularMDP, policy: np.ndarray) -> np.ndarray:
    P, r = np.zeros((mdp.n_states,) * 2), np.zeros(mdp.n_states)
    for s in range(mdp.n_states):
        for p, n, reward in mdp.outcomes(s, int(policy[s])):
            P[s, n] += p
            r[s] += p * reward
    return np.linalg.solve(np.eye(mdp.n_states) - mdp.discount * P, r)


def entropic_risk_is_not_beaten(rng: Rng) -> bool:
    """The optimal entropic risk in each arithmetic against rival policies, evaluated by the law of their return."""
    mdp = _model(rng)
    width = return_reach(mdp).width or 1.0
    beta = float(rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 2)) / width
    best = solve_entrm(mdp, beta)
    law = evaluate(mdp, best, "sparse")
    rival = evaluate(mdp, _rival(rng, mdp, best.policy), "sparse")
    slack = 1e-9 * (1 + width + abs(best.start_value))
    return bool(abs(law.entrm(beta) - best.start_value) > slack or rival.entrm(beta) > best.start_value + slack)


def total_risk_is_not_beaten(rng: Rng) -> bool:
    """Sums without a horizon: the returned policy and rivals, one of which begins at random and then follows it."""
    S, A = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    costs = bool(rng.integers(2))
    rows = []
    for _s in range(S):
        actions = []
        for a in range(A):
            m = int(rng.integers(1, 4))
            end = float(rng.uniform(0.2, 0.6)) if a == 0 or not costs else float(rng.choice([0, 0.3]))
            p, r = (1 - end) * rng.dirichlet(np.ones(m)), rng.standard_normal(m)
            r = -np.abs(r) - 0.01 if costs else r
            actions.append(
                [(float(p[j]), int(rng.integers(S)), float(r[j])) for j in range(m)] + [(end, S, -0.1)] * (end > 0)
            )
        rows.append(actions)
    mdp = TabularMDP.from_outcomes([*rows, [[(1.0, S, 0.0)]]], criterion="total", terminal=[S])
    beta = -float(10 ** rng.uniform(-2, -0.3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of risks that are -inf
        answer = solve_entrm(mdp, beta)
    if answer.guarantee is None:
        return False
    slack = answer.bound + 1e-9 * (1 + np.abs(answer.value).max())
    wish = rng.random((2, S + 1, A))
    rivals = [np.where(mdp.mask, one, -1.0).argmax(axis=1) for one in wish]
    own = _total_risk(mdp, answer.policy[0], beta)
    other = _total_risk(mdp, rivals[0], beta)
    step = _tilted_chain(mdp, rivals[1], beta)
    begun = np.log(step @ np.exp(beta * own)) / beta
    return bool(
        (np.abs(own - answer.value) > slack).any()
        or (other > answer.value + slack).any()
        or (begun > answer.value + slack).any()
    )


def _tilted_chain(mdp: TabularMDP, policy: np.ndarray, beta: float) -> np.ndarray:
    P = np.zeros((mdp.n_states,) * 2)
    for s in range(mdp.n_states):
        for p, n, r in mdp.outcomes(s, int(policy[s])):
            P[s, n] += p * math.exp(beta * r)
    return P


def _total_risk(mdp: TabularMDP, policy: np.ndarray, beta: float) -> np.ndarray:
    """Entropic risk of the sum by a dense solve; -inf everywhere where it is from some state."""
    P = _tilted_chain(mdp, policy, beta)
    inner, end = P[:-1, :-1], P[:-1, -1]
    if np.abs(np.linalg.eigvals(inner)).max() >= 1 - 1e-9:
        return np.full(mdp.n_states, -math.inf)
    return np.append(np.log(np.linalg.solve(np.eye(len(inner)) - inner, end)) / beta, 0.0)


def front_holds_everywhere(rng: Rng) -> bool:
    """A random parameter of a random interval: loss of the front's policy against its certificate."""
    mdp = _model(rng)
    width = return_reach(mdp).width or 1.0
    low, high = np.sort(rng.uniform(-20, 20, 2)) / width
    front = entrm_front(mdp, low, high, epsilon=float(10 ** rng.uniform(-3, -0.5)) * width)
    if front.certificate > front.epsilon * (1 + 1e-9):
        return True
    for beta in rng.uniform(low, high, 5):
        best = solve_entrm(mdp, beta).start_value
        segment = front.segments[front.index_at(beta)]
        own = evaluate(mdp, segment.policy, "sparse").entrm(beta)
        slack = 1e-9 * (1 + width)
        below, above = front.value_at(beta)
        if best - own > segment.certificate + slack or not below - slack <= best <= above + slack:
            return True
    return False


def breakpoints_leave_nothing_out(rng: Rng) -> bool:
    """Between its breakpoints the exact front is optimal."""
    mdp = _model(rng, horizon=int(rng.integers(1, 4)))
    width = return_reach(mdp).width or 1.0
    front = entrm_front(mdp, -5 / width, 5 / width, 0, tol=1e-4 / width)
    for beta in rng.uniform(-5, 5, 10) / width:
        segment = front.segments[front.index_at(beta)]
        own = evaluate(mdp, segment.policy, "sparse").entrm(beta)
        if solve_entrm(mdp, beta).start_value - own > segment.certificate + 1e-8 * (1 + width):
            return True
    return False


def laws_are_exact(rng: Rng) -> bool:
    """The law on the lattice against the enumeration of all paths."""
    mdp = _model(rng, whole=True, horizon=int(rng.integers(1, 5)))
    policy = _policy(rng, mdp)
    law = evaluate(mdp, policy, str(rng.choice(["lattice", "sparse"])))  # type: ignore[arg-type]
    paths: dict[float, float] = {}
    todo = [(0, s, p, 0.0) for s, p in enumerate(mdp.initial)]
    while todo:
        h, s, mass, total = todo.pop()
        if h == mdp.horizon:
            paths[total] = paths.get(total, 0.0) + mass
            continue
        todo += [(h + 1, n, mass * p, total + r) for p, n, r in mdp.outcomes(s, int(policy[h, s]))]
    atoms = np.array(sorted(paths))
    return not (
        len(atoms) == len(law.atoms)
        and np.allclose(atoms, law.atoms, atol=1e-12)
        and np.allclose([paths[x] for x in atoms], law.weights, atol=1e-12)
    )


def projections_keep_within_their_error(rng: Rng) -> bool:
    """True Wasserstein error, certificate and promise of each projection, and the functionals between their bounds."""
    from scipy.stats import wasserstein_distance

    mdp = _model(rng)
    policy = _policy(rng, mdp)
    truth = evaluate(mdp, policy, "sparse")
    scale = 1 + float(np.abs(truth.atoms).max())
    law = evaluate(mdp, policy, str(rng.choice(["quantile", "categorical", "bracket"])), int(rng.integers(2, 200)))  # type: ignore[arg-type]
    true = float(wasserstein_distance(law.atoms, truth.atoms, law.weights, truth.weights))
    if true > law.w1_error + 1e-9 * scale or law.w1_error > law.a_priori + 1e-9 * scale:
        return True
    alpha = float(rng.uniform(0.02, 1))
    for name, parameter in (("mean", None), ("cvar", alpha), ("variance", None), ("entrm", -1 / scale)):
        low, high = law.bounds(name, parameter)
        if not low - 1e-8 * scale**2 <= truth.functional(name, parameter) <= high + 1e-8 * scale**2:
            return True
    return False


def entropic_value_at_risk_is_not_beaten(rng: Rng) -> bool:
    """The interval of the best EVaR against the exact EVaR of rival policies."""
    mdp = _model(rng)
    alpha = float(10 ** rng.uniform(-3, 0))
    width = return_reach(mdp).width
    answer = optimize_evar(mdp, alpha, tol=1e-6 * (width or 1.0))
    own = evaluate(mdp, answer.policy, "sparse").evar(alpha)
    rival = evaluate(mdp, _rival(rng, mdp, answer.policy), "sparse").evar(alpha)
    slack = 1e-7 * (1 + width)
    near = answer.beta if answer.beta is not None and -math.inf < answer.beta < 0 else -1 / (width or 1.0)
    for beta in near * np.exp(0.5 * rng.standard_normal(5)):  # the objective between the nodes that were visited
        if solve_entrm(mdp, float(beta)).start_value - math.log(1 / alpha) / abs(beta) > answer.upper + slack:
            return True
    return bool(own < answer.lower - slack or rival > answer.upper + slack or own > answer.upper + slack)


def tails_are_not_beaten(rng: Rng) -> bool:
    """Every method's interval against rival policies, Markov ones and ones that remember."""
    mdp = _model(rng, whole=True)
    alpha, x = float(rng.uniform(0.02, 1)), float(rng.integers(-8, 9)) / 2
    risk = str(rng.choice(["cvar", "var", "threshold"]))

    def optimize(method: str):  # type: ignore[no-untyped-def]
        if risk == "threshold":
            return optimize_threshold(mdp, x, method)  # type: ignore[arg-type]
        return (optimize_cvar if risk == "cvar" else optimize_var)(mdp, alpha, method)  # type: ignore[arg-type]

    def score(law: ReturnDistribution) -> float:
        return law.prob_at_least(x) if risk == "threshold" else law.cvar(alpha) if risk == "cvar" else law.var(alpha)

    exact = optimize("exact")
    other = optimize(str(rng.choice(["front", "gpi", "bracket"])))
    rival = evaluate(mdp, _policy(rng, mdp), "exact")
    slack = 1e-8 * (1 + return_reach(mdp).width)
    return bool(
        abs(score(exact.distribution) - exact.value) > slack
        or not other.lower - slack <= exact.value <= other.upper + slack
        or score(rival) > exact.value + slack
        or score(other.distribution) > exact.value + slack
    )


def brackets_hold_real_rewards(rng: Rng) -> bool:
    """Rewards rounded down and up enclose what a rival reaches, and the returned policy keeps its lower value."""
    mdp = _model(rng)
    alpha = float(rng.uniform(0.05, 1))
    width = return_reach(mdp).width or 1.0
    answer = optimize_cvar(mdp, alpha, "bracket", step=width / 50)
    front = optimize_cvar(mdp, alpha, "front")
    slack = 1e-7 * (1 + width)
    played = simulate(mdp, answer.policy, 2000, rng, level=1 - 1e-9)
    # the empirical law is within the band of the true one; its CVaR at a smaller level is a lower confidence bound
    values = np.sort(played.returns)
    below = max(alpha, 1e-3)
    kept = (
        values[: max(1, math.ceil(min(1.0, below + played.band) * len(values)))].mean()
        if below + played.band < 1
        else values.max()
    )
    return bool(
        answer.lower > answer.upper + slack
        or front.lower > answer.upper + slack
        or kept < answer.lower - slack - width * 0.02
    )


def adversary_pays_what_duality_says(rng: Rng) -> bool:
    """``entrm = E_Q G + KL / |beta|`` at the tilted model, and no other law of the transitions does worse."""
    mdp = _model(rng)
    width = return_reach(mdp).width or 1.0
    beta = -float(10 ** rng.uniform(-2, 1)) / width
    policy = _policy(rng, mdp)
    worst = worst_case_model(mdp, policy, beta)
    value = evaluate(mdp, policy, "sparse").entrm(beta)
    slack = 1e-9 * (1 + width + abs(value))
    mean = float(evaluate(worst.model.replace(initial=int(np.argmax(mdp.initial))), policy, "sparse").mean)
    point = mdp.replace(initial=int(np.argmax(mdp.initial)))
    again = worst_case_model(point, policy, beta)
    if abs(worst.mean + worst.divergence / abs(beta) - value) > slack or abs(mean - again.mean) > slack:
        return True
    if len(again.model.prob) == len(np.tile(mdp.prob, (mdp.horizon or 1) if mdp.n_stages == 1 else 1)):
        # the bill, added up along the paths of the tilted model
        paid_at_each = np.log(again.model.prob / np.tile(mdp.prob, len(again.model.prob) // len(mdp.prob)))
        table = again.model.indptr, again.model.next_state, again.model.prob, paid_at_each
        bill = TabularMDP(
            *table, mdp.n_states, mdp.n_actions, horizon=mdp.horizon, initial=point.initial, mask=again.model.mask
        )
        if abs(evaluate(bill, policy, "sparse").mean - again.divergence) > 1e-9 * (1 + again.divergence):
            return True
    # any other tilt pays more: compare with a random law on the same outcomes, in one step
    chain = induced_chain(point, policy)
    start = int(np.argmax(mdp.initial))
    part = slice(int(chain.indptr[start]), int(chain.indptr[start + 1]))
    p, r = chain.prob[part], chain.reward[part]
    after = (
        evaluate_entrm(mdp.replace(horizon=(mdp.horizon or 1) - 1), policy[1:], beta).value
        if (mdp.horizon or 1) > 1
        else np.zeros(mdp.n_states)
    )
    q = rng.dirichlet(np.ones(len(p)))
    paid = float(q @ (r + after[chain.next_state[part]]) + q @ np.log(np.maximum(q, 1e-300) / p) / abs(beta))
    return paid < evaluate(point, policy, "sparse").entrm(beta) - slack


def bands_cover(rng: Rng) -> bool:
    """The band of simulated returns misses the exact distribution function with probability 0.2 at most."""
    mdp = _model(rng, whole=True)
    policy = _policy(rng, mdp)
    law = evaluate(mdp, policy)
    sample = simulate(mdp, policy, 200, rng, level=0.8)
    grid = np.concatenate([law.atoms, law.atoms - 1e-9])
    return any(abs(law.cdf(x) - np.mean(sample.returns <= x + 1e-10)) > sample.band for x in grid)


CLAIMS = (
    Claim(
        "discounted-bound",
        "discounted values are within their bound, policies within twice that",
        values_are_within_their_bound,
        covers=("Solution",),
    ),
    Claim(
        "entropic-optimum",
        "no policy has a larger entropic risk than the one returned",
        entropic_risk_is_not_beaten,
        covers=("EntRMSolution",),
    ),
    Claim(
        "total-optimum",
        "sums without a horizon: no policy has a larger entropic risk than the one returned, where that is claimed",
        total_risk_is_not_beaten,
        covers=("EntRMSolution",),
    ),
    Claim(
        "front",
        "the front is within its certificate at every parameter",
        front_holds_everywhere,
        covers=("OptimalityFront",),
    ),
    Claim(
        "breakpoints",
        "the exact front is optimal between its breakpoints",
        breakpoints_leave_nothing_out,
        covers=("OptimalityFront",),
    ),
    Claim("law-exact", "laws on the lattice are those of all paths", laws_are_exact, covers=("ReturnDistribution",)),
    Claim(
        "projection-error",
        "projected laws are within their certificate, and it within the promise",
        projections_keep_within_their_error,
        covers=("ReturnDistribution",),
    ),
    Claim(
        "evar",
        "no policy has an entropic value at risk above the upper bound",
        entropic_value_at_risk_is_not_beaten,
        covers=("RiskSolution",),
    ),
    Claim(
        "tails",
        "CVaR, quantile and threshold: the exact optimum lies in every method's interval",
        tails_are_not_beaten,
        covers=("RiskSolution",),
    ),
    Claim(
        "bracket",
        "rewards rounded down and up enclose the best CVaR",
        brackets_hold_real_rewards,
        covers=("RiskSolution",),
    ),
    Claim("duality", "the tilted model pays what duality says", adversary_pays_what_duality_says),
    Claim(
        "return-band",
        "simulated returns miss their band at most as often as said",
        bands_cover,
        level=0.2,
        covers=("SimulatedReturns",),
    ),
    *LEARNING_CLAIMS,
)
