"""Collecting the claims of the domains and judging them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from ..core.claim import Claim, Verdict, check_claim
from ..core.randomness import Seed, spawn
from ..domains import DOMAINS

__all__ = ["all_claims", "audit"]


def all_claims(domains: Sequence[str] = ()) -> dict[str, tuple[Claim, ...]]:
    """The claims of each domain named (default: all)."""
    for name in domains:
        if name not in DOMAINS:
            near = get_close_matches(name, list(DOMAINS), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the systems are {', '.join(DOMAINS)}"
            raise ValueError(f"no system is called {name!r}; {hint}")
    chosen = [name for name in DOMAINS if not domains or name in domains]
    return {name: tuple(importlib.import_module(f"ailys.{name}.audit").CLAIMS) for name in chosen}


def audit(
    claims: dict[str, tuple[Claim, ...]], trials: int = 100, *, rng: Seed = 0, n_jobs: int | None = 1
) -> Iterator[tuple[str, Verdict]]:
    """Judge the claims one by one: (domain, verdict). The same seed gives the same verdicts."""
    if trials < 1:
        raise ValueError(f"trials must be at least 1; got {trials}")
    streams = iter(spawn(rng, sum(len(group) for group in claims.values())))
    for domain, group in claims.items():
        for claim in group:
            yield domain, check_claim(claim, trials, rng=next(streams), n_jobs=n_jobs)
