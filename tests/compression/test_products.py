"""The product of a chain in PyTorch: every way to it against the dense matrix, gradients of both orders."""

import copy
import os
import signal
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ailys.butterfly import Chain
from ailys.compression import chain_linear
from ailys.compression import chain_product as ways
from tests.butterfly.conftest import chains, dense_product

CHAINS = [
    Chain.monarch((24, 36)),
    Chain.dyadic(32),
    Chain.low_rank((6, 10), 3),
    Chain.dense((5, 7)),
    Chain.radix(64, (8, 4, 2)),
    Chain.monarch((32, 64), rank=3),
    Chain([(2, 3, 2, 4), (4, 2, 2, 2)]),
    Chain([(1, 3, 5, 4)]),
    Chain([(1, 2, 70, 2), (2, 70, 3, 1)]),
]


def _random(chain, batch, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()

    return [draw(*p) for p in chain], draw(batch, chain.shape[1]), draw(chain.shape[0])


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("way", [ways._Rows, ways._Tiles, ways._Stages])
@pytest.mark.parametrize("batch", [1, 2, 17, 40])
def test_every_way_gives_the_product_and_its_gradients(chain, way, batch):
    factors, x, bias = _random(chain, batch)
    W = torch.from_numpy(dense_product([f.detach().numpy() for f in factors]))
    with torch.no_grad():
        traits = ways._traits_of(factors)
        y, inner = way.forward(traits, x, bias, factors)
        dy = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
        dx, db, dw = way.backward(traits, x, factors, inner, dy, (True, True, True))
    assert torch.allclose(y, x @ W.T + bias, atol=1e-11)
    reference = ways._plain(x, factors, bias)
    expected = torch.autograd.grad(reference, [x, *factors], dy)
    assert torch.allclose(reference, y, atol=1e-11)
    assert torch.allclose(db, dy.sum(0), atol=1e-11)
    for found, true in zip([dx, *dw], expected, strict=True):
        assert torch.allclose(found, true, atol=1e-10)


@given(chains(), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_chain_and_batch_agrees_with_the_dense_matrix(chain, batch, seed):
    factors, x, bias = _random(chain, batch, seed=seed)
    W = torch.from_numpy(dense_product([f.detach().numpy() for f in factors]))
    assert torch.allclose(chain_linear(x, factors, bias), x @ W.T + bias, atol=1e-9)


@pytest.mark.parametrize("chain", CHAINS[:5], ids=str)
def test_first_and_second_derivatives(chain):
    factors, x, bias = _random(chain, 3)
    inputs = (x, bias, *factors)

    def function(x, bias, *factors):
        return chain_linear(x, factors, bias)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_only_what_is_wanted_gets_a_gradient():
    factors, x, bias = _random(Chain.monarch(16), 3)
    frozen = [f.detach() for f in factors]
    chain_linear(x, frozen, bias).sum().backward()
    assert x.grad is not None
    assert bias.grad is not None
    factors[0].requires_grad_(False)
    chain_linear(x.detach(), factors, None).sum().backward()
    assert factors[0].grad is None
    assert factors[1].grad is not None
    only_bias = bias.detach().requires_grad_()
    chain_linear(x.detach(), frozen, only_bias).sum().backward()
    assert torch.allclose(only_bias.grad, torch.full_like(bias, 3))


def test_empty_batches_leading_axes_and_strided_inputs():
    factors, x, bias = _random(Chain.monarch((24, 36)), 20)
    W = torch.from_numpy(dense_product([f.detach().numpy() for f in factors]))
    assert chain_linear(x[:0], factors, bias).shape == (0, 24)
    assert chain_linear(x.reshape(4, 5, 36), factors, bias).shape == (4, 5, 24)
    assert chain_linear(x[0], factors, bias).shape == (24,)
    for strided in (x[::2], x.detach().t().contiguous().t()):
        y = chain_linear(strided, factors, bias)
        assert torch.allclose(y, strided @ W.T + bias)
        assert y.is_contiguous()
    mixed = [f.detach().transpose(1, 2).contiguous().transpose(1, 2) for f in factors]
    assert torch.allclose(chain_linear(x, mixed, bias), x @ W.T + bias)


def test_two_threads_give_the_same_result():
    torch.set_num_threads(2)
    factors, x, bias = _random(Chain.dyadic(64), 4000)
    chain_linear(x, factors, bias).sum().backward()
    reference = ways._plain(x, factors, bias)
    expected = torch.autograd.grad(reference.sum(), [x, *factors])
    for tensor, true in zip([x, *factors], expected, strict=True):
        assert torch.allclose(tensor.grad, true, atol=1e-8)


def test_half_precision_complex_numbers_and_autocast_take_the_plain_way():
    chain = Chain.monarch(16)
    for dtype in (torch.float16, torch.bfloat16, torch.complex64):
        factors, x, bias = _random(chain, 4, torch.complex64 if dtype.is_complex else torch.float32)
        true = chain_linear(x, factors, bias)
        found = chain_linear(x.to(dtype), [f.to(dtype) for f in factors], bias.to(dtype))
        assert found.dtype == dtype
        assert (found.to(true.dtype) - true).abs().max() < 0.05 * true.abs().max()
    factors, x, bias = _random(chain, 4, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert chain_linear(x, factors, bias).dtype == torch.bfloat16


def test_functional_transforms():
    factors, x, bias = _random(Chain.monarch(16), 4)
    frozen = [f.detach() for f in factors]
    jacobian = torch.func.vmap(torch.func.jacrev(lambda v: chain_linear(v[None], frozen, bias.detach())[0]))(x.detach())
    W = torch.from_numpy(dense_product([f.numpy() for f in frozen]))
    assert torch.allclose(jacobian[2], W)


def test_the_input_is_not_changed_and_the_result_is_new():
    factors, x, bias = _random(Chain.dyadic(16), 30)
    before = copy.deepcopy(x.detach())
    y = chain_linear(x.detach(), [f.detach() for f in factors], bias.detach())
    y += 1
    assert torch.equal(x.detach(), before)
    assert np.isfinite(y.numpy()).all()


def test_an_empty_batch_has_zero_gradients():
    factors, x, bias = _random(Chain.monarch(64), 3, torch.float32)
    chain_linear(x, factors, bias).sum().backward()  # leaves numbers in memory that is used again
    for batch in (x[:0], x.detach()[:0]):
        for tensor in (*factors, bias):
            tensor.grad = None
        chain_linear(batch, factors, bias).sum().backward()
        assert all(not tensor.grad.any() for tensor in (*factors, bias))


@pytest.mark.parametrize(
    ("x", "factors", "bias"),
    [
        (torch.ones(8), [torch.ones(256, 1, 64, 1)], None),
        (torch.ones(4), [torch.ones(2, 1, 2, 1)], torch.ones(500)),
        (torch.ones(4), [torch.ones(1, 2, 3, 1), torch.ones(2, 1, 2, 1)], None),
        (torch.ones(4), [torch.ones(2, 2)], None),
        (torch.ones(4), [], None),
        (torch.tensor(1.0), [torch.ones(2, 1, 2, 1)], None),
    ],
)
def test_sizes_that_do_not_fit_get_a_sentence(x, factors, bias):
    with pytest.raises(ValueError, match="factors"):
        chain_linear(x, factors, bias)


def test_forward_mode_derivatives_are_not_lost():
    factors, x, bias = _random(Chain.monarch(16), 3)
    for wanted in (False, True):
        inputs = [t.detach().requires_grad_(wanted) for t in factors]
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x.detach(), torch.ones_like(x))
            y = chain_linear(dual, inputs, bias.detach())
            tangent = torch.autograd.forward_ad.unpack_dual(y).tangent
        assert torch.allclose(tangent, chain_linear(torch.ones_like(x), inputs))


@pytest.mark.parametrize("chain", [Chain.monarch((24, 36)), Chain.dyadic(32)], ids=str)
@pytest.mark.parametrize("batch", [3, 70])
def test_each_gradient_alone(chain, batch):
    factors, x, bias = _random(chain, batch)
    dy = torch.randn(batch, chain.shape[0], dtype=x.dtype)
    expected = torch.autograd.grad(ways._plain(x, factors, bias), [x, bias, *factors], dy)
    for position in range(len(expected)):
        tensors = [t.detach().requires_grad_(i == position) for i, t in enumerate((x, bias, *factors))]
        chain_linear(tensors[0], tensors[2:], tensors[1]).backward(dy)
        assert torch.allclose(tensors[position].grad, expected[position], atol=1e-10)


@pytest.mark.parametrize("batch", [3, 70])
def test_signs_that_pytorch_keeps_aside_are_seen(batch):
    factors, _, bias = _random(Chain.monarch(16), batch)
    x, dy = (torch.randn(batch, 16, dtype=torch.complex128).conj().imag for _ in range(2))
    assert x.is_neg()
    given = x.resolve_neg().requires_grad_()
    assert torch.allclose(chain_linear(x, factors, bias), chain_linear(given, factors, bias))
    chain_linear(given, factors, bias).backward(dy)
    assert torch.allclose(given.grad, torch.autograd.grad(ways._plain(given, factors, bias), given, dy)[0])


def test_gradients_that_are_differentiated_again_are_right_where_factors_depend_on_each_other():
    factors, x, _ = _random(Chain([(4, 2, 2, 1), (2, 2, 2, 2)]), 3)
    same = factors[0]
    made = x.sum(0).view(4, 1, 2, 1) * torch.ones(4, 2, 2, 1, dtype=x.dtype)  # of the input
    for chain in ([same, same], [same, 2 * same], [made, same]):
        found = torch.autograd.grad(chain_linear(x, chain).square().sum(), [x, same], create_graph=True)
        true = torch.autograd.grad(ways._plain(x, chain, None).square().sum(), [x, same], create_graph=True)
        for ours, theirs in zip(found, true, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-10)
        second = [torch.autograd.grad(g[1].sum(), [x, same], retain_graph=True) for g in (found, true)]
        for ours, theirs in zip(*second, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-9)


def test_gradients_of_a_batch_of_directions_at_once():
    factors, x, bias = _random(Chain.monarch((6, 4)), 3)
    x = x.detach()[0]

    def jacobian(vectorize):
        return torch.autograd.functional.jacobian(
            lambda v, b, *f: chain_linear(v, f, b), (x, bias, *factors), vectorize=vectorize
        )

    for at_once, one_by_one in zip(jacobian(True), jacobian(False), strict=True):
        assert torch.allclose(at_once, one_by_one)


def test_tensors_without_memory_are_never_reached_by_address():
    from torch._subclasses.fake_tensor import FakeTensorMode

    factors, x, bias = _random(Chain.dyadic(8), 3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert chain_linear(x, factors, bias).shape == (3, 8)
    gone = torch.randn(3, 8, dtype=torch.float64)
    gone.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="no memory"):
        chain_linear(gone, factors, bias)
    lost = torch.randn_like(factors[1]).detach()
    lost.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="no memory"):
        chain_linear(x, [factors[0], lost, factors[2]], bias)


def test_other_ways_to_follow_operations_see_them_all():
    from torch.utils.flop_counter import FlopCounterMode

    factors, x, _ = _random(Chain.dyadic(16), 4)
    with FlopCounterMode(display=False) as seen:
        y = chain_linear(x, factors)
    assert seen.get_total_flops() == 2 * 4 * sum(f.numel() for f in factors)
    assert y.is_contiguous()


def _on_threads(monkeypatch, n):
    monkeypatch.setattr(ways, "_SHARE", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n)


def test_more_threads_than_vectors(monkeypatch):
    factors, x, bias = _random(Chain.dyadic(64), 5)
    one = chain_linear(x, factors, bias)
    expected = torch.autograd.grad(one.sum(), [x, *factors])
    _on_threads(monkeypatch, 24)
    many = chain_linear(x, factors, bias)
    assert torch.equal(many, one)
    for found, true in zip(torch.autograd.grad(many.sum(), [x, *factors]), expected, strict=True):
        assert torch.allclose(found, true, atol=1e-10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own(monkeypatch):
    _on_threads(monkeypatch, 2)
    factors, x, bias = _random(Chain.dyadic(64), 40)
    with torch.no_grad():
        before = chain_linear(x, factors, bias)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        with torch.no_grad():
            os._exit(0 if torch.equal(chain_linear(x, factors, bias), before) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_threads_are_awaited_when_one_part_fails(monkeypatch):
    _on_threads(monkeypatch, 2)
    traits, ended = ways._traits_of(_random(Chain.dyadic(64), 1)[0]), []

    def work(start, stop):
        if start == 0:
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(stop)

    with pytest.raises(KeyboardInterrupt):
        ways._in_parts(40, traits, work)
    assert ended == [40]
