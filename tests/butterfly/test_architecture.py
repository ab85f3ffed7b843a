"""Patterns and chains: supports, chainability, reduction, the named architectures."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given

from ailys.butterfly import Chain, Pattern

from .conftest import chains, dense_factor


@given(chains())
def test_the_support_is_that_of_the_definition(chain):
    for l, p in enumerate(chain):
        assert np.array_equal(chain.support(l).toarray(), dense_factor(np.ones(tuple(p))))


@given(chains())
def test_the_product_of_supports_is_the_rank_times_the_product_pattern(chain):
    # S_1 S_2 = r S_{pi_1 * pi_2}: every entry of the product is a sum over r paths
    for l, r in enumerate(chain.ranks):
        product = (chain.support(l) @ chain.support(l + 1)).toarray()
        assert np.array_equal(product, r * dense_factor(np.ones(tuple(chain[l] * chain[l + 1]))))


@given(chains())
def test_merging_is_associative(chain):
    if len(chain) >= 3:
        assert chain.merge(0).product() == chain.merge(1).product() == chain.product()


@given(chains())
def test_reduction_keeps_the_shape_and_never_grows(chain):
    reduced, groups = chain.reduce()
    assert reduced.shape == chain.shape
    assert reduced.n_params <= chain.n_params
    assert not reduced.redundant
    assert [i for group in groups for i in group] == list(range(len(chain)))
    assert [chain.product(g.start, g.stop) for g in groups] == list(reduced.patterns)


def test_the_redundant_example_of_the_paper_reduces():
    chain = Chain([(1, 2, 4, 8), (2, 4, 4, 4), (4, 4, 4, 2), (8, 4, 2, 1)])
    assert chain.redundant
    assert str(chain.reduce()[0]) == "(1,4,8,4)(4,8,4,1)"


@given(chains(max_depth=3, max_split=3))
def test_the_dimension_is_the_rank_of_the_derivative(chain):
    # dim of the class = rank of the Jacobian of the product at a generic point
    rng = np.random.default_rng(0)
    factors = [dense_factor(rng.standard_normal(tuple(p))) for p in chain]
    columns = []
    for l in range(len(chain)):
        before = np.linalg.multi_dot([np.eye(chain.shape[0]), *factors[:l], np.eye(factors[l].shape[0])])
        after = np.linalg.multi_dot([np.eye(factors[l].shape[1]), *factors[l + 1 :], np.eye(chain.shape[1])])
        for i, j in np.argwhere(chain.support(l).toarray()):
            columns.append(np.outer(before[:, i], after[j]).ravel())
    if len(columns) <= 400:
        assert chain.dim == np.linalg.matrix_rank(np.array(columns), tol=1e-8)


def test_named_architectures():
    assert str(Chain.dyadic(8)) == "(1,2,2,4)(2,2,2,2)(4,2,2,1)"
    assert Chain.dyadic(1) == Chain.dense((1, 1))
    assert Chain.dyadic(2) == Chain([(1, 2, 2, 1)])
    assert str(Chain.monarch(64)) == "(1,8,8,8)(8,8,8,1)"
    assert str(Chain.monarch((256, 64))) == "(1,16,8,16)(8,16,8,1)"
    assert str(Chain.low_rank((5, 7), 2)) == "(1,5,2,1)(1,2,7,1)"
    assert Chain.radix(16, (4, 4)) == Chain.monarch(16)
    assert Chain.monarch(12, p=4, q=(2, 6)).shape == (12, 12)
    assert Chain.monarch(7).shape == (7, 7)


@given(chains(copies=False))
def test_the_text_of_a_chain_parses_to_it(chain):
    assert Chain.parse(str([tuple(p) for p in chain]), chain.shape) == chain
    assert Chain.parse(str(chain), chain.shape) == chain


def test_texts():
    assert Chain.parse("dyadic", (16, 16)) == Chain.dyadic(16)
    assert Chain.parse("Monarch:r=2,p=4", (16, 16)) == Chain.monarch(16, p=4, rank=2)
    assert Chain.parse("lowrank:r=3", (4, 6)) == Chain.low_rank((4, 6), 3)
    assert Chain.parse("radix:2,8", (16, 16)) == Chain.radix(16, (2, 8))
    assert Chain.parse("dense", (3, 2)) == Chain.dense((3, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("diadic", "unknown chain 'diadic'"),
        ("lowrank", "needs a rank"),
        ("monarch:x=2", "options of 'monarch' are p, q, r"),
        ("monarch:r=two", "take whole numbers"),
        ("radix:3,3", "multiply to n = 16; .* gives 9"),
        ("[(1,2,3)]", "pattern 1 must be four positive integers"),
        ("[(1,2,2,", "cannot read the chain"),
        ("__import__('os')", "unknown chain"),
    ],
)
def test_a_text_that_is_no_chain_is_explained(text, words):
    with pytest.raises(ValueError, match=words):
        Chain.parse(text, (16, 16))


def test_bad_patterns_are_named():
    with pytest.raises(ValueError, match="at least one pattern"):
        Chain([])
    with pytest.raises(ValueError, match="pattern 2 must be four positive integers"):
        Chain([(1, 2, 2, 1), (1, 0, 2, 1)])
    with pytest.raises(ValueError, match="pattern 1 must be"):
        Chain([(1, 2, 2.5, 1)])
    with pytest.raises(ValueError, match="factors 1 and 2 do not fit: .* has 4 columns, .* has 6 rows"):
        Chain([(1, 2, 2, 2), (1, 6, 2, 1)])


def test_chainability_names_the_first_bad_pair_and_the_rule():
    chain = Chain([(2, 2, 2, 3), (3, 2, 2, 2)])
    assert not chain.chainable
    assert not chain.co_chainable
    assert "factors 1 and 2" in chain.fault
    assert "2 does not divide 3" in chain.fault
    with pytest.raises(ValueError, match="product needs a chainable chain"):
        chain.product()
    mirrored = Chain([(2, 2, 2, 1), (1, 2, 2, 2)])
    assert not mirrored.chainable
    assert mirrored.co_chainable
    assert Chain.dyadic(4) == mirrored.T


def test_every_small_chain_is_chainable_exactly_when_supports_multiply_cleanly():
    # the definition by divisibility against the product of the supports: a multiple of a pattern's support
    numbers = (1, 2, 3)
    for p1 in itertools.product(numbers, repeat=4):
        for p2 in itertools.product(numbers, (2,), numbers, numbers):
            if p1[0] * p1[2] * p1[3] != p2[0] * p2[1] * p2[3]:
                continue
            chain = Chain([p1, p2])
            if chain.chainable:
                product = (chain.support(0) @ chain.support(1)).toarray()
                assert set(np.unique(product)) <= {0, chain.ranks[0]}


def test_chains_are_values():
    assert hash(Chain.dyadic(8)) == hash(Chain([tuple(p) for p in Chain.dyadic(8)]))
    assert Chain.dyadic(4) @ Chain.dyadic(4) == Chain([*Chain.dyadic(4), *Chain.dyadic(4)])
    with pytest.raises(AttributeError):
        Chain.dyadic(4).patterns = ()
    assert Chain.dyadic(8).to_dict()["patterns"] == [[1, 2, 2, 4], [2, 2, 2, 2], [4, 2, 2, 1]]
    assert Pattern(2, 3, 4, 5).T.shape == (40, 30)


def test_positions_out_of_range_are_refused():
    with pytest.raises(ValueError, match="merge"):
        Chain.dyadic(8).merge(2)
    with pytest.raises(ValueError, match="selects no factor"):
        Chain.dyadic(8).product(2, 2)
    with pytest.raises(ValueError, match="power of two"):
        Chain.dyadic(12)


def test_patterns_and_chains_pickled_by_earlier_versions_are_read():
    chain = Chain.monarch(64)
    assert pickle.loads(pickle.dumps(chain)) == chain
    earlier = b"cailys.butterfly.architecture\nPattern\n(I1\nI2\nI3\nI4\ntR."  # when both were in one file
    assert pickle.loads(earlier) == Pattern(1, 2, 3, 4)
