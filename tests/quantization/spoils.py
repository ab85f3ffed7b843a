"""How to spoil what each claim of the audit is about: one small slip in the implementation for each.

The searches themselves are compiled; what is spoiled are the numbers they are given, and what is made of their results.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import ailys.quantization.chain as chain
import ailys.quantization.module as module
import ailys.quantization.packing as packing
import ailys.quantization.paths as paths
import ailys.quantization.precision as precision
import ailys.quantization.rank_one as rank_one
import ailys.quantization.steps as steps
import ailys.quantization.storage as storage


def one_bit_less(monkeypatch):
    """The second vector is rounded to one significant bit less than there is room for."""
    honest = rank_one.best_scaling

    def spoiled(x, y, wx, wy, t, ty, *rest):
        return honest(x, y, wx, wy, t, max(ty - 1, min(ty, 1)), *rest)

    monkeypatch.setattr(rank_one, "best_scaling", spoiled)


def level_forgotten(monkeypatch):
    """The largest level of a codebook is never used."""
    honest = rank_one._levels
    monkeypatch.setattr(rank_one, "_levels", lambda fmt: honest(fmt)[:-1])


def plain_error_too_small(monkeypatch):
    """The error of rounding entry by entry is given a thousandth too small."""
    honest = rank_one._rounded_plainly
    monkeypatch.setattr(rank_one, "_rounded_plainly", lambda *given: 0.999 * honest(*given))


def rows_with_fewer_bits(monkeypatch):
    """Of a pair of columns and rows the rows are rounded to one significant bit less, and still called optimal."""
    honest = steps.Rounder._run

    def spoiled(rounder, kernel, inputs, extra, outputs):
        if kernel is steps.sweep_pairs:
            extra = extra[0], max(extra[1] - 1, 1)
        honest(rounder, kernel, inputs, extra, outputs)

    monkeypatch.setattr(steps.Rounder, "_run", spoiled)


def error_too_small(monkeypatch):
    """Errors of chains a millionth too small."""
    honest = chain.chain_error

    def spoiled(*given):
        error, kind = honest(*given)
        return (1 - 1e-6) * error, kind

    monkeypatch.setattr(chain, "chain_error", spoiled)


def curve_off_by_one(monkeypatch):
    """Each error of the curve is that of one bit more."""
    honest = precision.quantize_chain
    monkeypatch.setattr(precision, "quantize_chain", lambda factors, t, **more: honest(factors, t + 1, **more))


def best_layer_named(monkeypatch):
    """The error of the worst layer is that of the best; networks of one layer cannot tell."""
    honest = module.QuantizationReport.guarantee.fget

    def spoiled(report):
        promise = honest(report)
        return promise and replace(promise, level=min(layer.error for layer in report.layers))

    monkeypatch.setattr(module.QuantizationReport, "guarantee", property(spoiled))


def last_factor_forgotten(monkeypatch):
    """The digits are followed up to the last factor but one."""
    honest = paths._by_digits
    monkeypatch.setattr(paths, "_by_digits", lambda patterns: honest(patterns[: max(1, len(patterns) - 1)]))


def width_without_sign(monkeypatch):
    """The sign is not counted."""
    honest = packing.Code.count

    def spoiled(code, size, is_complex=False):
        count = honest(code, size, is_complex)
        return replace(count, sign=0)

    monkeypatch.setattr(packing.Code, "count", spoiled)


def scale_in_single_precision(monkeypatch):
    """The scale of the product is stored in single precision."""
    honest = storage.pack_chain
    monkeypatch.setattr(
        storage, "pack_chain", lambda answer: honest(replace(answer, scale=float(np.float32(answer.scale))))
    )


SPOILS = {
    "rank-one": one_bit_less,
    "codebook": level_forgotten,
    "rank-one-bound": plain_error_too_small,
    "two-factors": rows_with_fewer_bits,
    "chains": error_too_small,
    "curve": curve_off_by_one,
    "networks": best_layer_named,
    "paths": last_factor_forgotten,
    "packing": width_without_sign,
    "files": scale_in_single_precision,
}
