"""How to spoil what each claim of the audit is about: one small slip in the implementation for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import ailys.butterfly.factorization as factorization
import ailys.butterfly.factorize as factorize
import ailys.butterfly.operator as operator
import ailys.butterfly.orders as orders
import ailys.butterfly.refine as refine
import ailys.butterfly.search as search
import ailys.butterfly.storage as storage
import ailys.butterfly.weights as weights

Answer = factorization.ButterflyFactorization


def optimal_too_soon(monkeypatch):
    """An error 5 % above the lower bound is called the smallest possible."""
    spoiled = property(lambda answer: answer.error <= 1.05 * answer.lower_bound + answer._rounding)
    monkeypatch.setattr(Answer, "optimal", spoiled)


def error_too_small(monkeypatch):
    """Errors a tenth of a percent too small."""
    honest = factorize._answers
    spoiled = lambda *given: [replace(answer, error=0.999 * answer.error) for answer in honest(*given)]  # noqa: E731
    monkeypatch.setattr(factorize, "_answers", spoiled)


def lower_bound_too_large(monkeypatch):
    """The lower bound is halfway to the error: below it, so that only a rival can tell."""
    honest = Answer.lower_bound.fget
    monkeypatch.setattr(Answer, "lower_bound", property(lambda answer: 0.5 * (honest(answer) + answer.error)))


def bound_forgets_a_split(monkeypatch):
    """The last split is left out of ``sqrt(sum E_l^2)``."""
    monkeypatch.setattr(
        Answer, "a_priori_bound", property(lambda a: float(np.sqrt(np.sum(np.square(a.split_errors[:-1])))))
    )


def lost_too_small(monkeypatch):
    """What a split of two factors loses is a tenth of a percent too small."""
    honest = orders.split

    def spoiled(z, first, second, side):
        x1, x2, lost = honest(z, first, second, side)
        return x1, x2, 0.999 * lost

    monkeypatch.setattr(orders, "split", spoiled)


def factor_too_small(monkeypatch):
    """One of the two factors of a split is a billionth too small."""
    honest = orders.split

    def spoiled(z, first, second, side):
        x1, x2, lost = honest(z, first, second, side)
        return x1, (1 - 1e-9) * x2, lost

    monkeypatch.setattr(orders, "split", spoiled)


def sweep_makes_worse(monkeypatch):
    """A sweep adds a ten-thousandth to the error. (Slips inside a sweep end it early: only what follows it can hurt.)"""
    honest = refine.refined

    def spoiled(answer, sweeps):
        found = honest(answer, sweeps)
        return replace(found, error=found.error * (1 + 1e-4 * found.sweeps))

    monkeypatch.setattr(refine, "refined", spoiled)


def adjoint_without_conjugation(monkeypatch):
    """The adjoint is the transpose; only one matrix in eight is complex."""
    honest = operator.ButterflyOperator._mirrored
    monkeypatch.setattr(operator.ButterflyOperator, "_mirrored", lambda self, conjugate: honest(self, False))
    monkeypatch.setattr(operator.ButterflyOperator, "_adjoint", lambda self: self._transpose())


def weights_not_permuted(monkeypatch):
    """The weights of the columns are taken in the order before the permutation."""
    honest = weights.Weights.apply
    monkeypatch.setattr(weights.Weights, "apply", lambda self, stack, columns: honest(self, stack, None))


def ranks_off_by_one(monkeypatch):
    """The energy of the largest singular values is counted at the next rank."""
    honest = search.block_spectra
    monkeypatch.setattr(search, "block_spectra", lambda *given: np.roll(honest(*given), 1))


def last_bits_lost(monkeypatch):
    """The factors are stored with the last bits changed."""
    honest = storage._as_real
    monkeypatch.setattr(storage, "_as_real", lambda x: honest(x) * (1 + 2.0**-50))


SPOILS = {
    "guarantee": optimal_too_soon,
    "exact-error": error_too_small,
    "lower-bound": lower_bound_too_large,
    "constant": bound_forgets_a_split,
    "two-factors": lost_too_small,
    "recovery": factor_too_small,
    "refine": sweep_makes_worse,
    "products": adjoint_without_conjugation,
    "weights": weights_not_permuted,
    "front": ranks_off_by_one,
    "files": last_bits_lost,
}
