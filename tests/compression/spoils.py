"""How to spoil what each claim of the audit is about: one small slip in the implementation for each."""

from __future__ import annotations

from dataclasses import replace

import pytest

import ailys.compression.plan as plan
import ailys.compression.replacement as replacement
import ailys.compression.report as report
import ailys.compression.storage as storage


def best_layer_speaks_for_all(monkeypatch):
    """The ratio of the whole is that of the best of its layers instead of the worst. (A ratio that is merely too small, its root
    for instance, is seen once in 60 trials: it rests on a lower bound, to which no rival comes near.)"""
    honest = report.total_guarantee

    def spoiled(layers):
        promise = honest(layers)
        return promise and replace(promise, level=min(layer.ratio for layer in layers if layer.replaced))

    monkeypatch.setattr(report, "total_guarantee", spoiled)
    monkeypatch.setattr("ailys.compression.files.total_guarantee", spoiled)


def mean_not_taken_off(monkeypatch):
    """The second moments of the inputs are taken around zero, though a bias takes care of the mean."""
    honest = replacement.input_moments

    def spoiled(*given):
        found = honest(*given)
        return {
            name: m if m.mean is None else replace(m, weight=m.weight + m.mean[:, None] * m.mean)
            for name, m in found.items()
        }

    monkeypatch.setattr(replacement, "input_moments", spoiled)


def bound_too_large(monkeypatch):
    """The Lagrangian bound is 1 % too large."""
    honest = plan.allocate_globally

    def spoiled(layers, budget):
        found = honest(layers, budget)
        return replace(found, bound=1.01 * found.bound + 1e-6)

    monkeypatch.setattr(plan, "allocate_globally", spoiled)
    monkeypatch.setattr("ailys.compression.allocation.allocate_globally", spoiled)


def half_precision_files(monkeypatch):
    """Numbers are written in single precision at most: only two networks in three can tell."""
    honest = storage.write_record

    def spoiled(path, tensors, record):
        torch = pytest.importorskip("torch")
        cut = {name: t.to(torch.float32).to(t.dtype) if t.is_floating_point() else t for name, t in tensors.items()}
        return honest(path, cut, record)

    monkeypatch.setattr(storage, "write_record", spoiled)


def tied_layers_replaced(monkeypatch):
    """The network given is changed instead of a copy."""
    monkeypatch.setattr(replacement.copy, "deepcopy", lambda network, *rest: network)


def gradient_forgets_a_factor(monkeypatch):
    """The gradient of the first factor is a millionth too large."""
    from ailys.compression import chain_product

    torch = pytest.importorskip("torch")
    honest = chain_product.chain_linear

    class Slip(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * (1 + 1e-6)

    def spoiled(x, factors, *rest, **options):
        return honest(x, [Slip.apply(factors[0]), *factors[1:]], *rest, **options)

    monkeypatch.setattr("ailys.compression.layers.chain_linear", spoiled)


SPOILS = {
    "certificate": best_layer_speaks_for_all,
    "output-error": mean_not_taken_off,
    "budget": bound_too_large,
    "files": half_precision_files,
    "untouched": tied_layers_replaced,
    "layers": gradient_forgets_a_factor,
}
