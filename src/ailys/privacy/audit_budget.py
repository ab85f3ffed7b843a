"""Claims of budgets, noise, ledger, bounds and audits, each with an experiment that tries to contradict it."""

from __future__ import annotations

from ..core.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = ()
