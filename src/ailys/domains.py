"""The systems of the package, in the order of the talk: the one list that grows with a new one."""

from __future__ import annotations

__all__ = ["DOMAINS"]

# name of the subpackage -> what it does, in one line
DOMAINS: dict[str, str] = {
    "butterfly": "Matrices as products of sparse butterfly factors, with the error of the best possible one.",
    "compression": "Trained networks made smaller by butterfly layers, with the error of every layer.",
    "quantization": "Factors in few bits: rescaled before rounding, with their exact error and size.",
    "bandits": "A/B tests that may be watched, best arms, discovery, graphs and black boxes, with proved stopping rules.",
    "mdp": "Decisions under risk: the law of the return, its tail, and policies that look after it.",
    "privacy": "Statistics of sensitive columns: quantiles, counts, densities, a ledger of what was spent.",
    "selfsimilarity": "Exponents of multivariate signals by wavelet eigenvalues, with their error bars and tests.",
}
