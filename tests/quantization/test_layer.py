"""Packed layers in PyTorch: products, gradients, saved states, whole networks."""

import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ailys.butterfly import Chain, butterfly, ks_matmul  # noqa: E402
from ailys.quantization import QuantizedButterflyLinear, quantize_chain, quantize_module  # noqa: E402

from .conftest import projected  # noqa: E402


class Butterfly(torch.nn.Module):
    """A linear layer with butterfly factors, as somebody else might write it."""

    def __init__(self, chain, in_features=None, out_features=None, bias=True, seed=0):
        super().__init__()
        self.chain = chain
        self.out_features, self.in_features = out_features or chain.shape[0], in_features or chain.shape[1]
        generator = torch.Generator().manual_seed(seed)
        self.factors = torch.nn.ParameterList(torch.randn(*p, generator=generator) / 2 for p in chain)
        self.bias = torch.nn.Parameter(torch.randn(self.out_features, generator=generator)) if bias else None

    def forward(self, x):
        y = torch.nn.functional.pad(x, (0, self.chain.shape[1] - self.in_features))
        for factor in reversed(self.factors):
            y = ks_matmul(y, factor, layout="first")
        y = y[..., : self.out_features]
        return y if self.bias is None else y + self.bias


def test_a_layer_multiplies_like_its_matrix():
    answer = quantize_chain(projected(16, 0), 4)
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    for cache in (False, True):
        layer = QuantizedButterflyLinear.from_chain(answer, torch.ones(16).double(), cache=cache, dtype=torch.float64)
        assert torch.allclose(layer(x), x @ torch.from_numpy(answer.toarray()).T + 1, atol=1e-10)
        assert torch.equal(layer(x), layer(x))


def test_padded_permuted_and_complex_chains():
    A = np.random.default_rng(0).standard_normal((12, 16))
    answer = quantize_chain(butterfly(A, Chain.monarch((12, 16)), perm="bitrev"), 5)
    layer = QuantizedButterflyLinear(answer, in_features=16, out_features=10, dtype=torch.float64)
    x = torch.randn(4, 16, dtype=torch.float64)
    assert torch.allclose(layer(x), (x @ torch.from_numpy(answer.toarray()).T)[:, :10], atol=1e-10)
    short = QuantizedButterflyLinear(quantize_chain(projected(16, 0), 4), in_features=9, dtype=torch.float64)
    assert torch.allclose(short(x[:, :9]), x[:, :9] @ torch.from_numpy(short.chain().toarray()).T[:9], atol=1e-10)
    complex_layer = QuantizedButterflyLinear(quantize_chain(projected(8, 0, True), 3), dtype=torch.float64)
    assert torch.allclose(
        complex_layer(x[:, :8]), x[:, :8].to(torch.complex128) @ torch.from_numpy(complex_layer.chain().toarray()).T
    )


def test_only_packed_bytes_are_saved_and_states_load_into_other_widths():
    wide, narrow = (QuantizedButterflyLinear(quantize_chain(projected(64, 0), t)) for t in (9, 3))
    buffer = io.BytesIO()
    torch.save(narrow.state_dict(), buffer)
    assert len(buffer.getvalue()) < narrow.chain().bits.bytes + 6000
    buffer.seek(0)
    wide.load_state_dict(torch.load(buffer, weights_only=True))
    x = torch.randn(2, 64)
    assert torch.equal(wide(x), narrow(x))


def test_gradients_reach_input_and_bias():
    layer = QuantizedButterflyLinear(quantize_chain(projected(8, 0), 4), torch.zeros(8))
    x = torch.randn(5, 8, requires_grad=True)
    layer(x).sum().backward()
    assert torch.allclose(x.grad, torch.from_numpy(layer.chain().toarray()).float().sum(0).expand(5, 8), atol=1e-5)
    assert layer.bias.grad.tolist() == [5.0] * 8


def test_networks_are_copied_and_their_butterflies_quantized():
    network = torch.nn.Sequential(
        Butterfly(Chain.dyadic(16), in_features=13), torch.nn.ReLU(), torch.nn.Sequential(Butterfly(Chain.monarch(16), bias=False)),
        torch.nn.Linear(16, 3),
    )  # fmt: skip
    x = torch.randn(20, 13)
    before = network(x)
    for bits, tolerance in ((10, 2e-2), (4, 0.5)):
        small, report = quantize_module(network, bits)
        assert torch.equal(network(x), before)
        assert torch.linalg.norm(small(x) - before) < tolerance * torch.linalg.norm(before)
        assert [layer.name for layer in report.layers] == ["0", "2.0"]
        assert report.bytes_after < report.bytes_before
        assert report.guarantee.level == max(layer.error for layer in report.layers)
        assert "measure it" in report.summary()
        assert report.to_dict()["layers"][0]["bits"] == small[0].chain().bits.total
    only, report = quantize_module(network, 4, include="2.*")
    assert len(report.layers) == 1
    assert isinstance(only[0], Butterfly)
    assert len(quantize_module(network, 4, include=lambda name, layer: layer.bias is not None)[1].layers) == 1
    root, report = quantize_module(Butterfly(Chain.dyadic(8)), "e4m3")
    assert isinstance(root, QuantizedButterflyLinear)


def test_factors_of_very_different_sizes_fit_into_single_precision():
    answer = quantize_chain(
        [x * s for x, s in zip(projected(8, 0), (1e-30, 1e-30, 1e60), strict=True)], 4, method="rtn"
    )
    layer, x = QuantizedButterflyLinear(answer), torch.randn(3, 8)
    expected = x.double() @ torch.from_numpy(answer.toarray()).T
    assert torch.allclose(layer(x).double(), expected, rtol=1e-4, atol=1e-5)


def test_a_frozen_bias_stays_frozen():
    for frozen in (True, False):
        layer = Butterfly(Chain.dyadic(8))
        layer.bias.requires_grad_(not frozen)
        assert quantize_module(layer, 4)[0].bias.requires_grad is not frozen


def test_whole_numbers_are_refused():
    layer = QuantizedButterflyLinear(quantize_chain(projected(8, 0), 4))
    for x in (torch.ones(1, 8, dtype=torch.int64), torch.ones(1, 8, dtype=torch.bool)):
        with pytest.raises(ValueError, match="floating-point"):
            layer(x)


def test_a_layer_used_twice_is_quantized_once_and_stays_one():
    shared = Butterfly(Chain.dyadic(16))
    network = torch.nn.Sequential(shared, torch.nn.ReLU(), shared, torch.nn.ModuleDict({"again": shared})["again"])
    for include in (None, "2"):
        small, report = quantize_module(network, 4, include=include)
        assert isinstance(small[0], QuantizedButterflyLinear)
        assert small[0] is small[2] is small[3]
        assert len(report.layers) == 1
    assert network[0] is network[2] is shared


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantize_module(torch.nn.Linear(3, 3), 4), "no butterfly layer"),
        (lambda: quantize_module("net", 4), "torch.nn.Module"),
        (lambda: quantize_module(Butterfly(Chain.dyadic(8)), 4, include="x"), "no butterfly layer is named 'x'"),
        (lambda: quantize_module(Butterfly(Chain.dyadic(8)), 4, include=[]), "empty list"),
        (lambda: quantize_module(Butterfly(Chain.dyadic(8)), 4, include=lambda n, m: False), "include selects"),
        (lambda: QuantizedButterflyLinear(quantize_chain(projected(8, 0), 4), torch.ones(3)), "bias must have shape"),
        (lambda: QuantizedButterflyLinear(quantize_chain(projected(8, 0), 4), in_features=9), "at most 8 inputs"),
    ],
)
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("text", ["[" * 10_000, "{}", "[1]", "hello", '{"error": 1}'])
def test_a_damaged_record_of_a_saved_layer_is_a_sentence(text):
    layer = QuantizedButterflyLinear(quantize_chain(projected(8, 0), 2))
    state = layer.state_dict()
    state["_extra_state"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    with pytest.raises(ValueError, match="record of a quantized layer is damaged"):
        layer.load_state_dict(state)
