"""JointExp's tables: exact rational arithmetic as the judge, bands, and draws that fall back on more digits."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from ailys.privacy import _joint_kernels as kernels
from ailys.privacy._extended import UP, log2_extended
from ailys.privacy._joint_reference import Constants, reference_tables
from ailys.privacy.exponential import UNIT
from ailys.privacy.joint import JointTables, _bands
from ailys.privacy.laws import edges_of, jointexp_law
from ailys.privacy.noise import random_source
from ailys.privacy.rates import Cost

F = Fraction


def as_fraction(m, e):
    return F(float(m)) * F(2) ** (512 * int(e))


def as_pair(x):
    e = (math.floor(math.log2(x.numerator) - math.log2(x.denominator)) + 256) // 512
    m = float(x / F(2) ** (512 * e))
    assert F(m) * F(2) ** (512 * e) == x, "the constants of this test are exact doubles"
    return m, e


def exact_constants(root, bands, centres):
    """exp(-eta / 2) = ``root``, a double: all centres are multiples of one half."""

    def decay(x):
        assert (2 * x).denominator == 1
        return root ** int(2 * x)

    gaps = [c - b for b, c in zip([F(0), *centres], centres, strict=False)]
    sides = lambda c: (decay(math.ceil(c) - c), decay(c - math.ceil(c) + 1))  # noqa: E731
    return Constants(
        one=F(1), q=decay(F(1)), first=sides(centres[0]), last=sides(centres[-1]),
        left=[decay(T - t) for T, t in zip(bands.jump, gaps, strict=True)],
        right=[decay(1 - T + t) for T, t in zip(bands.jump, gaps, strict=True)],
        gap=[decay(t) for t in gaps],
    )  # fmt: skip


def pairs(values):
    both = [as_pair(v) for v in values]
    return np.array([m for m, _ in both]), np.array([e for _, e in both], dtype=np.int64)


@pytest.mark.parametrize("root", [F(3, 4), F(3, 2**60), F(31, 32)], ids=["mild", "huge range", "slow"])
@pytest.mark.parametrize("seed", range(6))
def test_every_entry_is_within_the_proved_error_of_exact_arithmetic(root, seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(3, 14)), int(rng.integers(1, 5))
    halves = np.sort(rng.choice(np.arange(1, 2 * n), m, replace=False))
    centres = [F(int(h), 2) for h in halves]
    reach = int(rng.integers(1, n + 1))
    edges = np.sort(rng.integers(0, 50, n + 2)).astype(np.int64)  # with ties
    bands = _bands(n, centres, reach)
    if root == F(3, 4):
        # powers of 3 fit into 53 bits only while they are small: keep the gaps short
        if max(bands.jump) > 12:
            pytest.skip("a gap too long for exact constants")
    elif any((b - a) > 5 for a, b in zip([F(0), *centres], centres, strict=False)):
        pytest.skip("a gap too long for exact constants")
    c = exact_constants(root, bands, centres)
    power = [c.one]
    for _ in range(4 * n + 20):
        power.append(power[-1] * c.q)
    widths = [F(int(w)) for w in np.diff(edges)]
    B, H = reference_tables(widths, bands, c, power, m - 1)
    start, stop, jump = (np.array(a, dtype=np.int64) for a in (bands.start, bands.stop, bands.jump))
    pm, pe = kernels.powers(*as_pair(c.q), len(power))
    Bm, Be, Hm, He = kernels.forward(
        edges, start, stop, bands.first_ceiling, jump, *as_pair(c.first[0]), *as_pair(c.first[1]), *pairs(c.left), *pairs(c.right),
        *pairs(c.gap), pm, pe,
    )  # fmt: skip
    bound = F(
        2 * len(power)
        + sum(8 * (int(z - a) + int(t) + 5) + 6 * (m + 2) for a, z, t in zip(start, stop, jump, strict=True))
    )
    for exact, tm, te in ((B, Bm, Be), (H, Hm, He)):
        for j, row in enumerate(exact):
            for k, value in enumerate(row):
                got = as_fraction(tm[j, k], te[j, k])
                assert abs(got - value) <= bound * F(UNIT) * value * F(101, 100)


@pytest.mark.parametrize("seed", range(8))
def test_the_recursion_in_fractions_sums_the_definition_exactly(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(0, 6)), int(rng.integers(1, 4))
    centres = [F(int(h), 2) for h in np.sort(rng.integers(0, 2 * n + 1, m))]
    bands = _bands(n, centres, n)
    c = exact_constants(F(3, 4), bands, centres)
    power = [c.q**k for k in range(4 * n + 20)]
    widths = [F(int(w)) for w in rng.integers(0, 5, n + 1)]
    _, H = reference_tables(widths, bands, c, power, m - 1)
    gaps = [b - a for a, b in zip([F(0), *centres], centres, strict=False)]
    for last in range(n + 1):
        total = F(0)
        for t in itertools.combinations_with_replacement(range(last + 1), m - 1):
            ranks = [0, *t, last]
            distance = sum(abs(b - a - g) for a, b, g in zip(ranks, ranks[1:], gaps, strict=False))
            weight = c.one
            for i in set(ranks[1:]):
                k = ranks[1:].count(i)
                weight *= widths[i] ** k / math.factorial(k)
            total += weight * F(3, 4) ** int(2 * distance)
        assert H[m - 1][last] == total


@pytest.mark.parametrize("reach", [1, 2, 4, 8])
def test_bands_leave_out_less_than_their_bound(reach, monkeypatch):
    rng = np.random.default_rng(reach)
    for _ in range(20):
        edges = edges_of(rng.integers(0, 60, 25).tolist(), 0, 60)
        levels = [F(1, 5), F(1, 2), F(7, 10)]
        full = JointTables(edges, levels, F(3, 10))
        assert full.complete
        part = JointTables.__new__(JointTables)
        part.__dict__.update(full.__dict__)
        part.reach = reach
        part._fill()
        lost = -math.expm1((part.log2_total - full.log2_total) * math.log(2))
        assert lost + 1e-12 >= 0
        # the bound is relative to what the bands hold
        assert lost / (1 - lost) <= 2.0 ** part._outside(3, 0.0, part.log2_total, 0.0)


def frequencies(tables, draws, seed):
    source, counts = random_source(seed), {}
    for _ in range(draws):
        t = tuple(tables.draw(source))
        counts[t] = counts.get(t, 0) + 1
    return counts


def interval_law(edges, levels, eta):
    n, law = len(edges) - 2, {}
    ts = [float((b - a) * n) for a, b in zip([F(0), *levels], [*levels, F(1)], strict=True)]
    for t in itertools.combinations_with_replacement(range(n + 1), len(levels)):
        ranks = [0, *t, n]
        gap = sum(abs(b - a - g) for a, b, g in zip(ranks, ranks[1:], ts, strict=False))
        weight = math.exp(-float(eta) * gap)
        for i in set(t):
            weight *= float(edges[i + 1] - edges[i]) ** t.count(i) / math.factorial(t.count(i))
        law[t] = weight
    total = sum(law.values())
    return {t: w / total for t, w in law.items()}


@pytest.mark.parametrize("start_reach", [None, 1], ids=["wide bands", "bands that are too narrow"])
def test_draws_settled_by_more_digits_have_the_same_law(start_reach):
    """Every draw is forced through multiprecision, from bands so narrow that they must be widened."""
    from .test_laws import chi_square_agrees

    edges, levels, eta, draws = edges_of([0, 3, 3, 7, 8, 12], 0, 20), [F(1, 4), F(1, 2)], F(1, 2), 1500
    tables = JointTables(edges, levels, eta)
    if start_reach:
        tables.reach = start_reach
        tables._fill()
    tables.__dict__["roundings"] = 10**16
    chi_square_agrees(frequencies(tables, draws, 3), interval_law(edges, levels, eta), draws)
    assert tables._refined is not None


def test_wide_and_refined_weights_agree_on_a_banded_column():
    rng = np.random.default_rng(1)
    edges = np.concatenate([[0], np.sort(rng.integers(0, 10**6, 3000)), [10**6]])
    tables = JointTables(edges, [F(k, 8) for k in range(1, 8)], F(1, 2))
    assert not tables.complete
    bins = tables._refined_bins(128, "last", 6, 0)
    first = tables.bands.start[-1]
    m, e = tables._final
    top = tables.log2_total
    ours = {first + k: log2_extended(m[k], int(e[k])) - top for k in range(len(m)) if m[k] > 0}
    total, before = bins.cumulative[-1], 0
    for k, c in enumerate(bins.cumulative):
        weight, before = c - before, c
        if weight > 0 and bins.first + k in ours:
            share = float(weight.context.log(weight / total, 2))
            if share > -60:  # what the first bands leave out, 2^-100, is felt in the far tail only
                assert ours[bins.first + k] == pytest.approx(share, abs=1e-9)


def test_a_column_of_equal_records_and_an_empty_one_are_answered():
    for records in ([], [4] * 50):
        tables = JointTables(edges_of(records, 0, 10), [F(1, 3), F(2, 3)], F(1, 4))
        assert tables.draw(random_source(0)) == sorted(tables.draw(random_source(0)))


def test_tables_span_thousands_of_orders_of_magnitude():
    """A column crowded into a millionth of its range: weights of the empty rest are beyond any double."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([[0], np.sort(rng.integers(0, 1000, 400)), [1 << 60]])
    levels = [F(k, 41) for k in range(1, 41)]
    tables = JointTables(edges, levels, F(20))
    assert np.ptp(tables.He[tables.Hm > 0]) >= 3
    values = tables.draw(random_source(0))
    assert max(abs(v - float(p * 400)) for v, p in zip(values, levels, strict=True)) < 4
    assert UP == 2.0**512


def test_law_of_positions_matches_jointexp_law():
    edges, levels = edges_of([1, 1, 3], 0, 4), [F(1, 3), F(2, 3)]
    law = jointexp_law(edges, levels, Cost(F(1), None, "replace"))
    assert sum(law.values()) == pytest.approx(1)
    assert set(law) == set(itertools.combinations_with_replacement(range(4), 2))
