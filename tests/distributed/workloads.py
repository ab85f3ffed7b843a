"""What is run on the cluster: each entry the Monte Carlo or the plan of a system, as a user would call it.

A system adds a function here; it is skipped while the system is not in `ailys.domains.DOMAINS`. It imports what it needs,
takes ``n_jobs`` (None: the surrounding ``joblib.parallel_config`` decides) and returns arrays to be compared.
"""

from ailys.domains import DOMAINS


def regret(n_jobs):
    from ailys.bandits import KLUCB, Thompson, simulate

    result = simulate({"kl-ucb": KLUCB, "thompson": Thompson}, [0.1, 0.05, 0.02], 3000, 64, rng=3, n_jobs=n_jobs)
    return [result.regret, result.pulls]


def identification(n_jobs):
    from ailys.bandits import DTracking, simulate_identification

    result = simulate_identification(
        {"d-tracking": DTracking}, [0.5, 0.3, 0.2], 0.1, n_replicates=32, rng=3, n_jobs=n_jobs
    )
    return [result.stopping_time, result.answers]


def release_plan(n_jobs):
    from ailys.privacy import plan_quantiles

    plan = plan_quantiles(
        3, 400, bounds=(0, 50), resolution=1, neighbours="replace", epsilon=1, replicates=8, rng=3, n_jobs=n_jobs
    )
    return [plan.errors[name] for name in sorted(plan.errors)]


def equal_exponents(n_jobs):
    from ailys.selfsimilarity import OperatorFractionalBrownianMotion, equality_test, estimate_hurst

    signal = OperatorFractionalBrownianMotion([0.6, 0.6, 0.8]).sample(4096, rng=3)
    found = equality_test(
        estimate_hurst(signal, n_bootstrap=20, rng=3), method="monte_carlo", n_simulations=19, rng=3, n_jobs=n_jobs
    )
    return [found.statistic, found.p_value]


WORKLOADS = {
    "bandits": [regret, identification],
    "privacy": [release_plan],
    "selfsimilarity": [equal_exponents],
}
READY = [work for system, works in WORKLOADS.items() if system in DOMAINS for work in works]
