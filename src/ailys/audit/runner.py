"""Collecting the claims of the domains and judging them."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

import numpy as np

from ..core.claim import Claim, Verdict, check_claim
from ..core.randomness import Seed, as_generator
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
    seed = int(as_generator(rng).integers(2**63))
    for domain, group in claims.items():
        for claim in group:  # its trials depend on the seed and its name, not on what else is audited
            stream = np.random.default_rng([seed, zlib.crc32(f"{domain}/{claim.name}".encode())])
            yield domain, check_claim(claim, trials, rng=stream, n_jobs=n_jobs)
