"""Layers as a user of PyTorch handles them."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from ailys.butterfly import Chain, butterfly
from ailys.compression import ButterflyConv2d, ButterflyLinear, ButterflyParametrization
from ailys.compression.balance import balanced
from tests.butterfly.conftest import dense_product

OPTIONS = [
    ("monarch:r=3", {}),
    ("lowrank:r=5", {"refine": 1}),
    ("monarch", {"perm": np.random.default_rng(0).permutation(64)}),
]


@pytest.mark.parametrize(("chain", "options"), OPTIONS)
def test_projection_of_a_linear_layer(chain, options):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48)
    layer = ButterflyLinear.from_linear(linear, chain, **options)
    x = torch.randn(3, 7, 64)
    assert torch.allclose(layer(x), nn.functional.linear(x, layer.weight, linear.bias), atol=1e-5)
    assert torch.allclose(layer.to_linear()(x), layer(x), atol=1e-5)
    error = float((layer.weight - linear.weight).norm() / linear.weight.norm())
    assert error == pytest.approx(layer.factorization.relative_error, rel=1e-5)
    assert layer.n_params == layer.chain.n_params == sum(f.numel() for f in layer.factors)


def test_what_users_of_pytorch_do_with_layers():
    torch.manual_seed(0)
    layer, x = ButterflyLinear.from_linear(nn.Linear(64, 48), "monarch", perm="bitrev"), torch.randn(5, 64)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin(x), layer(x))
    other = ButterflyLinear.like(nn.Linear(64, 48), "monarch").to_empty(device="cpu")
    other.perm = torch.zeros(64, dtype=torch.long)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(x), layer(x))
    assert copy.deepcopy(layer).half()(x.half()).dtype == torch.float16
    assert copy.deepcopy(layer).double()(x.double()).dtype == torch.float64
    assert "chain='(1,8,8,6)(8,6,8,1)'" in repr(layer)
    assert {name for name, _ in layer.named_parameters()} == {"factors.0", "factors.1", "bias"}


@pytest.mark.slow
def test_compiled_layers_agree():
    layer, x = ButterflyLinear(64, 48), torch.randn(5, 64)
    compiled = torch.compile(layer, fullgraph=True)
    assert torch.allclose(compiled(x), layer(x), atol=1e-5)
    compiled(x).sum().backward()
    gradient = layer.factors[0].grad.clone()
    layer.zero_grad()
    layer(x).sum().backward()
    assert torch.allclose(gradient, layer.factors[0].grad, atol=1e-4)


def test_training_from_scratch_is_a_change_of_the_class_name():
    torch.manual_seed(0)
    net = nn.Sequential(ButterflyLinear(16, 64), nn.ReLU(), ButterflyLinear(64, 1, chain="lowrank:r=1"))
    x = torch.randn(256, 16)
    y = (x[:, :1] * x[:, 1:2]).tanh()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        loss = ((net(x) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_the_initialisation_preserves_the_variance():
    torch.manual_seed(0)
    for chain in (Chain.monarch(256), Chain.dyadic(256), Chain.low_rank((256, 256), 64)):
        y = ButterflyLinear(256, 256, chain, bias=False)(torch.randn(500, 256))
        assert float(y.detach().var()) == pytest.approx(1, rel=0.35)


def test_a_chain_larger_than_the_layer_is_padded_and_cropped():
    layer, x = ButterflyLinear(10, 7, chain=Chain.dyadic(16)), torch.randn(4, 10)
    assert layer.weight.shape == (7, 10)
    assert torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5)
    projected = ButterflyLinear.from_linear(nn.Linear(10, 7), Chain.dyadic(16))
    assert projected(x).shape == (4, 7)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"in_features": 0, "out_features": 4}, "positive"),
        ({"in_features": 4, "out_features": 4, "chain": "dyadic", "budget": 0.5}, "not both"),
        ({"in_features": 64, "out_features": 64, "budget": 0.01}, "smallest Monarch"),
        ({"in_features": 64, "out_features": 64, "budget": 1.5}, "fraction"),
        ({"in_features": 64, "out_features": 64, "budget": float("nan")}, "budget"),
        ({"in_features": 64, "out_features": 64, "chain": Chain.dyadic(32)}, "too small"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments, word):
    with pytest.raises(ValueError, match=word):
        ButterflyLinear(**arguments)


def test_wrong_inputs_get_a_sentence():
    with pytest.raises(ValueError, match="takes 16 features"):
        ButterflyLinear(16, 16)(torch.ones(2, 15))
    with pytest.raises(ValueError, match="one group"):
        ButterflyConv2d(8, 8, 3, groups=2)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (5, 1), "stride": 2, "padding": "valid"},
        {"kernel_size": (2, 3), "padding": "same", "dilation": 2, "padding_mode": "circular"},
        {"kernel_size": 1},
        {"kernel_size": 1, "stride": 2, "bias": False},
    ],
)
def test_convolutions_agree_with_pytorch(arguments):
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, **arguments)
    layer, x = ButterflyConv2d.from_conv(conv, "monarch:r=2"), torch.randn(2, 8, 16, 15)
    dense = layer.to_conv()
    assert torch.allclose(layer(x), dense(x), atol=1e-5)
    assert torch.allclose(layer(x[0]), dense(x[0]), atol=1e-5)
    assert layer(x).is_contiguous()
    assert layer.weight.shape == conv.weight.shape


def test_parametrization_keeps_a_weight_in_the_class():
    torch.manual_seed(0)
    linear = nn.Linear(16, 16)
    best = butterfly(linear.weight.detach().numpy(), "dyadic")
    parametrize.register_parametrization(linear, "weight", ButterflyParametrization("dyadic"))
    assert torch.allclose(linear.weight, torch.from_numpy(best.toarray()), atol=1e-6)
    optimizer = torch.optim.SGD(linear.parameters(), 0.1)
    linear(torch.randn(8, 16)).square().sum().backward()
    optimizer.step()
    assert butterfly(linear.weight.detach().double().numpy(), "dyadic").relative_error < 1e-6


def test_balancing_is_exact_and_equalises_the_classes():
    rng = np.random.default_rng(0)
    for chain in (Chain.monarch((24, 36), rank=2), Chain.dyadic(32), Chain.radix(64, (4, 4, 4))):
        answer = butterfly(rng.standard_normal(chain.shape) * 1e3, chain)
        found = balanced(answer.factors)
        norms = [np.linalg.norm(x) / np.sqrt(x.size) for x in found]
        assert max(norms) / min(norms) < max(np.abs(answer.factors[-1]).max(), 8)
        left, right = dense_product(answer.factors), dense_product(found)
        assert np.abs(left - right).max() <= 1e-15 * np.abs(left).max() * chain.shape[0]
    zero = balanced([np.zeros((1, 2, 2, 2)), np.ones((2, 2, 2, 1))])
    assert not zero[0].any()


def test_a_state_with_a_permutation_loads_into_a_fresh_layer():
    layer = ButterflyLinear.from_linear(nn.Linear(8, 8), "dyadic", perm="bitrev")
    fresh, x = ButterflyLinear(8, 8, "dyadic"), torch.randn(3, 8)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))
    with pytest.raises(ValueError, match="once"):
        fresh.load_state_dict({**layer.state_dict(), "perm": torch.zeros(8, dtype=torch.long)})
