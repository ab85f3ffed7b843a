"""The audit: each guarantee in a form that an experiment can contradict, and the experiments."""

from .runner import all_claims, audit

__all__ = ["all_claims", "audit"]
