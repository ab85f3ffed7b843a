"""Block bootstrap in the wavelet domain: the same draws for all channels (Lucas, Abry, Wendt, Didier, EUSIPCO 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .spectrum import log2_eigenvalues

__all__ = ["bootstrap_lines", "run_length"]

_CHUNK_BYTES = 2**25


def run_length(n: int, vanishing_moments: int, block_length: int | None) -> int:
    """Coefficients of a run: L_B = 2 N_psi, or a quarter of the octave where that is more than half of it."""
    wanted = 2 * vanishing_moments if block_length is None else block_length
    return wanted if wanted <= n / 2 else max(1, round(n / 4))


def bootstrap_lines(
    details: Mapping[int, np.ndarray],
    method: str,
    n_ref: int,
    replicates: int,
    vanishing_moments: int,
    block_length: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """log2 lines of resampled coefficients, (R, J, M).

    At each octave on its own, runs of L_B coefficients are drawn with replacement and joined; the same runs in all channels, so
    that what ties the channels stays.
    """
    from ._kernels import block_products

    M = next(iter(details.values())).shape[0]
    lines = np.empty((replicates, len(details), M))
    for place, (octave, D) in enumerate(details.items()):
        n = D.shape[1]
        run = run_length(n, vanishing_moments, block_length)
        # classical and univariate spectra take all coefficients as one block
        block, q = (n_ref, n // n_ref) if method == "bwavelet" else (n, 1)
        starts = rng.integers(0, n - run + 1, size=(replicates, max(4, -(-n // run))))
        coefficients = np.ascontiguousarray(D.T)
        chunk = max(1, _CHUNK_BYTES // (8 * q * M * M))
        for begin in range(0, replicates, chunk):
            part = starts[begin : begin + chunk]
            S = np.empty((len(part), q, M, M))
            block_products(coefficients, part, run, block, S)
            if method == "univariate":
                lines[begin : begin + chunk, place] = np.log2(np.einsum("rqmm->rm", S))
            else:
                try:
                    lines[begin : begin + chunk, place] = log2_eigenvalues(S, octave)
                except ValueError:
                    raise ValueError(
                        f"{block} coefficients at octave {octave} are too few to resample for {M} channels: some replicates have no full rank; lower j2 "
                        "or take fewer channels"
                    ) from None
    return lines
