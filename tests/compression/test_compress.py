"""Compression of whole networks: budgets, certificates, what must stay untouched."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ailys.butterfly import Chain, butterfly
from ailys.compression import ButterflyConv2d, ButterflyLinear, compress, distill, sensitivity
from ailys.compression.candidates import block_weight, layer_options, output_error, read_architecture, with_ridge
from ailys.compression.plan import BudgetTooSmall

from .conftest import make_network


@pytest.mark.parametrize("allocate", ["global", "uniform"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_budget_holds_and_every_error_is_that_of_the_layer(network, inputs, allocate, calibrated):
    result = compress(network, budget=0.4, allocate=allocate, calibration=[inputs] if calibrated else None)
    assert result.params_after <= 0.4 * result.params_before == pytest.approx(result.budget, abs=1)
    assert any(layer.replaced for layer in result.layers)
    for layer in result.layers:
        before, after = network.get_submodule(layer.name), result.model.get_submodule(layer.name)
        if not layer.replaced:
            assert torch.equal(before.weight, after.weight)
            continue
        assert isinstance(after, ButterflyLinear)
        assert layer.weighted == calibrated
        assert layer.lower_bound <= layer.relative_error * (1 + 1e-9)
        assert layer.ratio >= 1 or layer.relative_error == 0
        if not calibrated:
            error = float((before.weight - after.weight).detach().norm() / before.weight.detach().norm())
            assert error == pytest.approx(layer.relative_error, rel=1e-4)
        if not calibrated:
            assert torch.equal(before.bias, after.bias)
    saved = sum(layer.params_before - layer.params_after for layer in result.layers)
    assert result.model_params[0] - result.model_params[1] == saved
    assert (result.drift is not None) == calibrated


def test_calibrated_layers_err_less_on_the_inputs(network, inputs):
    plain, calibrated = compress(network, budget=0.3), compress(network, budget=0.3, calibration=[inputs[:200]])
    held_out = inputs[200:]
    true = network(held_out)
    errors = [float((r.model(held_out) - true).norm() / true.norm()) for r in (plain, calibrated)]
    assert errors[1] < 0.7 * errors[0]


def test_the_bias_takes_over_the_mean_and_the_output_error_is_what_the_data_say(network, inputs):
    x = inputs + 3  # far from centred
    result = compress(network, architecture="monarch", budget=0.9, layers=["0"], calibration=[x], allocate="uniform")
    true, found = network[0](x).detach(), result.model[0](x).detach()
    assert torch.allclose(true.mean(0), found.mean(0), atol=1e-4)
    centred = x - x.mean(0)
    ridge = (1e-3 * float((centred**2).mean()) * len(x)) ** 0.5 * torch.eye(48)
    data = torch.cat([centred, ridge])
    difference = data @ (network[0].weight - result.model[0].weight).detach().t()
    error = float(difference.norm() / (data @ network[0].weight.detach().t()).norm())
    assert error == pytest.approx(result.layers[0].output_error, rel=1e-3)


def test_without_a_bias_the_second_moments_count(inputs):
    torch.manual_seed(0)
    net, x = nn.Linear(48, 24, bias=False), inputs + 3
    report = compress(net, architecture="lowrank", budget=0.5, calibration=[x]).layers[0]
    moment = (x.double().T @ x.double() / len(x)).numpy()
    again = butterfly(net.weight.detach().numpy(), report.chain, col_weight=block_weight(moment, report.chain))
    assert report.relative_error == pytest.approx(again.relative_error, rel=1e-3)


def test_the_weighted_certificate_is_the_weighted_error(network, inputs):
    result = compress(network, budget=0.5, layers=["2"], calibration=[inputs])
    report, hidden = result.layers[0], torch.relu(network[0](inputs)).detach().double().numpy()
    weight = block_weight(np.cov(hidden.T, bias=True), report.chain)
    again = butterfly(network[2].weight.detach().numpy(), report.chain, col_weight=weight)
    assert report.relative_error == pytest.approx(again.relative_error, rel=1e-3)


def test_options_are_the_errors_of_the_factorizations(inputs):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((24, 48))
    X = inputs.double().numpy()
    moment = X.T @ X / len(X)
    for option in layer_options(A, read_architecture("auto"))[:-1]:
        assert butterfly(A, option.chain).relative_error == pytest.approx(np.sqrt(option.cost), abs=1e-7)
    for option in layer_options(A, read_architecture(["lowrank", "blocks:4", "monarch"]), moment)[:-1]:
        answer = butterfly(A, option.chain, col_weight=block_weight(moment, option.chain))
        assert output_error(A, answer.toarray(), moment) == pytest.approx(np.sqrt(option.cost), rel=1e-3, abs=1e-6)


def test_second_moments_without_rank_are_made_invertible():
    x = np.zeros((3, 8))
    x[:, 0] = 1
    assert np.linalg.eigvalsh(with_ridge(x.T @ x)).min() > 0
    assert np.array_equal(with_ridge(np.zeros((4, 4))), np.eye(4))


def test_max_error_takes_the_smallest_that_keeps_it(network):
    result = compress(network, max_error=0.5)
    for layer in result.layers:
        assert layer.relative_error <= 0.5 + 1e-6
        if layer.replaced:
            matrix = network.get_submodule(layer.name).weight.detach().numpy()
            smaller = layer_options(matrix, read_architecture("auto"))
            assert all(o.cost > 0.25 for o in smaller if o.n_params < layer.params_after)


def test_one_chain_for_all_needs_no_budget(network):
    result = compress(network, architecture="monarch:r=2")
    assert [str(layer.chain) for layer in result.layers if layer.replaced] == [
        str(Chain.monarch(m.weight.shape, rank=2)) for m in network if isinstance(m, nn.Linear)
    ]


def test_a_chain_that_fits_some_layers_only():
    net = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 12))
    result = compress(net, architecture="dyadic")
    assert [layer.replaced for layer in result.layers] == [True, False]
    assert "does not fit" in result.layers[1].reason


def test_layers_by_pattern_and_by_function(network):
    assert [r.name for r in compress(network, budget=0.5, layers="[02]").layers] == ["0", "2"]
    chosen = compress(network, budget=0.5, layers=lambda module, name: isinstance(module, nn.Linear) and name != "0")
    assert [r.name for r in chosen.layers] == ["2", "4"]


class Odd(nn.Module):
    """Everything that must be left alone, and one layer that need not."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Linear(32, 32)
        self.embedding = nn.Embedding(40, 32)
        self.head = nn.Linear(32, 40, bias=False)
        self.head.weight = self.embedding.weight
        self.shared = nn.Linear(32, 32)
        self.again = self.shared
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.grouped = nn.Conv2d(32, 32, 3, groups=4)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(32, 32))
        self.hooked = nn.Linear(32, 32)
        self.hooked.register_forward_hook(lambda *_: None)
        self.broken = nn.Linear(32, 32)
        with torch.no_grad():
            self.broken.weight[0, 0] = float("nan")
        self.thin = nn.Linear(32, 1)

    def forward(self, x):
        return self.plain(x)


def test_what_cannot_be_replaced_is_untouched_and_says_why():
    torch.manual_seed(0)
    net = Odd()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    result = compress(net, budget=0.5)
    reasons = {layer.name: layer.reason for layer in result.layers}
    expected = {
        "head": "shared with embedding.weight",
        "shared": "several places",
        "attention": "in_proj_weight",
        "attention.out_proj": "MultiheadAttention",
        "grouped": "4 groups",
        "normed": "parametrized",
        "hooked": "hooks",
        "broken": "NaN",
        "thin": "one row",
    }
    for name, words in expected.items():
        assert words in reasons[name], name
    assert [layer.name for layer in result.layers if layer.replaced] == ["plain"]
    assert result.params_before == 1024
    after = result.model.state_dict()
    assert set(before) - set(after) == {"plain.weight"}
    for name in set(before) & set(after):
        assert torch.equal(before[name].nan_to_num(), after[name].nan_to_num())
    assert result.model.head.weight is result.model.embedding.weight
    assert result.model.again is result.model.shared
    for name, tensor in net.state_dict().items():  # and the network given is as it was
        assert torch.equal(tensor.nan_to_num(), before[name].nan_to_num())


@pytest.mark.filterwarnings("ignore")
def test_quantized_layers_are_left_alone():
    quantized = torch.ao.quantization.quantize_dynamic(make_network(), {nn.Linear}, dtype=torch.qint8)
    result = compress(nn.Sequential(quantized, nn.Linear(10, 64)), budget=0.9)
    assert any("quantized" in layer.reason for layer in result.layers)


def test_a_transformer_layer_runs_compressed():
    torch.manual_seed(0)
    net = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    result = compress(net, budget=0.5)
    assert {layer.name for layer in result.layers if layer.replaced} <= {"linear1", "linear2"}
    x = torch.randn(2, 5, 32)
    with torch.no_grad():
        slow = copy.deepcopy(result.model).train()
        slow.dropout.p = slow.dropout1.p = slow.dropout2.p = slow.self_attn.dropout = 0.0
        assert torch.allclose(result.model(x), slow(x), atol=1e-5)


def test_convolutions_are_compressed_and_calibrated():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.Flatten(), nn.Linear(8 * 36, 5)
    )
    x = torch.randn(20, 4, 6, 6)
    result = compress(net, budget=0.5, calibration=[x], allocate="uniform")
    assert any(isinstance(m, ButterflyConv2d) for m in result.model)
    assert result.model(x).shape == (20, 5)
    assert result.drift < 1


def test_a_network_that_is_one_layer():
    result = compress(nn.Linear(32, 32), budget=0.5)
    assert isinstance(result.model, ButterflyLinear)


def test_in_place_and_half_precision(network):
    result = compress(network.half(), budget=0.5, inplace=True)
    assert result.model is network
    kinds = {p.dtype for p in network.parameters()}
    assert kinds == {torch.float16}
    assert result.bytes_before == 2 * result.params_before


def test_modes_and_gradients_are_kept(network, inputs):
    network[0].weight.requires_grad_(False)
    network.train()
    network[2].eval()
    result = compress(network, architecture="monarch", budget=0.9, allocate="uniform", calibration=[inputs])
    assert network.training
    assert not network[2].training
    assert [m.training for m in result.model] == [m.training for m in network]
    assert not result.model[0].factors[0].requires_grad
    assert result.model[2].factors[0].requires_grad


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"budget": 0}, "budget"),
        ({"budget": 1.5}, "fraction"),
        ({"budget": -3}, "budget"),
        ({"budget": True}, "budget"),
        ({"budget": float("nan")}, "budget"),
        ({}, "give a budget"),
        ({"budget": 0.5, "max_error": 0.1}, "not both"),
        ({"max_error": 2}, "max_error"),
        ({"budget": 0.5, "layers": ["nope.*"]}, "no layer matches 'nope.*'"),
        ({"budget": 0.5, "layers": lambda module, name: False}, "no Linear"),
        ({"budget": 0.5, "allocate": "best"}, "allocate"),
        ({"budget": 0.5, "architecture": "blocks:x"}, "blocks"),
        ({"budget": 0.5, "architecture": "bogus"}, "bogus"),
        ({"budget": 0.5, "calibration": []}, "no batch"),
    ],
)
def test_wrong_wishes_get_a_sentence(network, options, word):
    with pytest.raises(ValueError, match=word.replace("*", r"\*").replace("(", r"\(")):
        compress(network, **options)


def test_other_wrong_inputs(network):
    with pytest.raises(TypeError, match="torch.nn.Module"):
        compress([1, 2], budget=0.5)
    with pytest.raises(BudgetTooSmall, match="cannot be met"):
        compress(network, budget=10)
    with pytest.raises(ValueError, match="NaN"):
        compress(network, budget=0.5, calibration=[torch.full((3, 48), float("nan"))])
    with pytest.raises(TypeError, match="batch"):
        compress(network, budget=0.5, calibration=[3])

    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="no calibration batch reached the layer 'idle'"):
        compress(Unused(), budget=0.5, calibration=[torch.ones(2, 8)])


def test_distillation_brings_the_student_nearer(network, inputs):
    result = compress(network, budget=0.2)
    batches = list(inputs.split(50))
    before = float((result.model(inputs) - network(inputs)).norm())
    for match in ("layers", "output"):
        found = distill(result.model, network, batches, steps=60, lr=3e-3, match=match, rng=0)
        assert found.student is result.model
        assert found.history[-5:].mean() < found.history[:5].mean()
        assert found.guarantee is None
    assert float((result.model(inputs) - network(inputs)).norm()) < 0.6 * before
    twin = [distill(copy.deepcopy(result.model), network, batches, steps=5, rng=3).history for _ in range(2)]
    assert np.array_equal(*twin)
    quick = distill(result.model, network, batches, steps=10**6, max_seconds=0.3, rng=0)
    assert quick.seconds < 2
    for options, word in (
        ({"match": "x"}, "match"),
        ({"steps": 0}, "positive"),
        ({"lr": float("nan")}, "positive"),
        ({"match": "layers"}, "butterfly layers"),
    ):
        student = network if options.get("match") == "layers" else result.model
        with pytest.raises(ValueError, match=word):
            distill(student, network, batches, **options)
    with pytest.raises(ValueError, match="at least one batch"):
        distill(result.model, network, [])


def test_sensitivity_measures_one_layer_at_a_time(network, inputs):
    true = network(inputs).detach()
    before = copy.deepcopy(network.state_dict())
    found = sensitivity(network, lambda m: float(((m(inputs) - true) ** 2).mean()), chains=["monarch", "lowrank:r=2"])
    assert found.baseline == 0
    assert len(found.records) == 6
    replaced = copy.deepcopy(network)
    replaced[2] = ButterflyLinear.from_linear(network[2], "lowrank:r=2")
    expected = float(((replaced(inputs) - true) ** 2).mean())
    record = next(r for r in found.records if r["layer"] == "2" and r["chain"] == str(Chain.low_rank((64, 96), 2)))
    assert record["effect"] == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    with pytest.raises(ValueError, match="no chain fits"):
        sensitivity(network, lambda m: 0.0, chains=["dyadic"])


def test_reports_read_well(network):
    result = compress(network, budget=0.5)
    table = result.table()
    assert len(table.splitlines()) == 4
    assert "best possible" in table
    assert "each of the" in result.summary()
    record = result.to_dict()
    assert "the smallest error possible for its architecture" in record["guarantee"]["statement"]
    assert record["layers"][0]["guarantee"]["kind"] in ("optimal", "exact") if record["layers"][0]["replaced"] else True
    assert result.plot().get_xlim()[0] == 0


def test_max_error_caps_the_reported_error_with_calibration_too():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(64, 64, bias=False).double())
    x = (torch.randn(400, 64) @ torch.randn(64, 64) + 2).double()
    for cap in (0.595, np.float32(0.4)):
        for architecture in ("monarch:r=2", "auto"):
            report = compress(net, max_error=cap, architecture=architecture, calibration=[x]).layers[0]
            assert report.relative_error <= cap
            assert (report.output_error or 0) <= cap


def test_layers_without_a_choice_count_in_uniform_budgets_too():
    net = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 20))
    for allocate in ("uniform", "global"):
        result = compress(net, budget=0.5, architecture="dyadic", allocate=allocate)
        assert result.params_after <= result.budget
    with pytest.raises(BudgetTooSmall, match="does not fit"):
        compress(nn.Sequential(nn.Linear(50, 64)), budget=0.5, architecture="dyadic")


def test_the_gap_of_a_uniform_sharing_is_told():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    with torch.no_grad():
        net[0].weight.copy_(torch.randn(64, 8) @ torch.randn(8, 64))
    uniform, shared = (compress(net, budget=0.5, allocate=how) for how in ("uniform", "global"))
    assert uniform.total_error**2 - uniform.allocation_gap <= shared.total_error**2 + 1e-9
    assert uniform.allocation_gap > 0.01


def test_half_precision_errors_are_those_of_the_rounded_layer():
    torch.manual_seed(0)
    for kind in (torch.bfloat16, torch.float16):
        net = nn.Sequential(nn.Linear(64, 64, dtype=kind))
        with torch.no_grad():
            net[0].weight.copy_(torch.randn(64, 4) @ torch.randn(4, 64))
        result = compress(net, budget=0.5)
        true, found = net[0].weight.double(), ButterflyLinear.to_linear(result.model[0].double()).weight
        error = float((true - found).norm() / true.norm())
        assert error == pytest.approx(result.layers[0].relative_error, rel=0.05)


def test_frozen_biases_and_weights_stay_frozen():
    for frozen in ("weight", "bias"):
        net = nn.Sequential(nn.Linear(32, 32))
        getattr(net[0], frozen).requires_grad_(False)
        layer = compress(net, budget=0.5).model[0]
        assert layer.factors[0].requires_grad == (frozen != "weight")
        assert layer.bias.requires_grad == (frozen != "bias")


def test_more_reasons_to_leave_a_layer():
    net = nn.Sequential(*(nn.Linear(16, 16) for _ in range(7)))
    net[1].bias = net[0].bias
    net.register_buffer("copy", net[2].weight.data)
    net[3].add_module("adapter", nn.Linear(16, 2))
    net[4].forward = lambda x: x
    net[5].register_load_state_dict_post_hook(lambda *_: None)
    reasons = {layer.name: layer.reason for layer in compress(net, architecture="monarch").layers}
    for name, word in {
        "0": "bias is shared",
        "1": "bias is shared",
        "2": "copy",
        "3": "more than",
        "4": "forward",
        "5": "hooks",
    }.items():
        assert word in reasons[name], name
    assert reasons["6"] == ""
    twice = nn.Module()
    twice.a = nn.Linear(8, 8)
    twice.b = twice.a
    assert "also as a" in compress(twice, layers="b", architecture="monarch").layers[0].reason


def test_empty_batches_and_named_arguments_in_calibration():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(32, 32)

        def forward(self, x):
            return self.inner(input=x)

    torch.manual_seed(0)
    x = torch.randn(99, 32)
    result = compress(Named(), budget=0.5, calibration=[x[:0], x])
    assert result.layers[0].weighted


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda net: compress(net, budget=[0.5]), "budget"),
        (lambda net: compress(net, budget=0.5, architecture=5), "architecture"),
        (lambda net: compress(net, budget=0.5, architecture=[]), "architecture"),
        (lambda net: compress(nn.Sequential(nn.LazyLinear(4)), budget=0.5), "lazy"),
        (lambda net: sensitivity(nn.Linear(8, 8), lambda m: 0.0), "single layer"),
        (lambda net: sensitivity(net, lambda m: 0.0, chains=["foo"]), "unknown chain"),
        (lambda net: distill(net, net, [torch.ones(1, 48)], steps=2.5), "whole number"),
    ],
)
def test_more_wrong_wishes_get_a_sentence(network, call, word):
    with pytest.raises(ValueError, match=word):
        call(network)
