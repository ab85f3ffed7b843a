"""Files of compressed networks: to the bit, and a sentence for whatever is not one."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import nn

from ailys.compression import ButterflyLinear, compress, export_onnx, load_compressed, save_compressed
from ailys.compression.files import compress_file, read_compressed
from ailys.quantization import quantize_module

from .conftest import make_network


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.inner = nn.Linear(16, 16)
        self.head = nn.Linear(16, 30, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x):
        return self.head(self.inner(self.table(x)))


def test_saved_networks_come_back_to_the_bit(network, inputs, tmp_path):
    result = compress(network, budget=0.4)
    path = result.save(tmp_path / "small.safetensors")
    again = load_compressed(path, make_network())
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in result.model.state_dict().items())
    assert torch.equal(again(inputs), result.model(inputs))
    assert [r.to_dict() for r in read_compressed(path).layers] == [r.to_dict() for r in result.layers]
    assert path.stat().st_size < 4 * result.model_params[1] + 20_000


def test_tied_weights_permutations_and_types(tmp_path):
    torch.manual_seed(0)
    net = Tied()
    net.inner = ButterflyLinear.from_linear(net.inner, "dyadic", perm="bitrev")
    net.half()
    path = save_compressed(net, tmp_path / "tied.safetensors")
    fresh = Tied().half()
    again = load_compressed(path, fresh)
    assert again.head.weight is again.table.weight
    assert torch.equal(again.inner.perm, net.inner.perm)
    assert {p.dtype for p in again.parameters()} == {torch.float16}
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in net.state_dict().items())


def test_convolutions_come_back(tmp_path):
    def build():
        return nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Conv2d(16, 8, 3, stride=2))

    torch.manual_seed(0)
    result = compress(build(), budget=0.5)
    x = torch.randn(2, 4, 8, 8)
    again = load_compressed(result.save(tmp_path / "c.safetensors"), build()).eval()
    assert torch.equal(again(x), result.model.eval()(x))


def test_compressed_and_quantized_networks_come_back_to_the_bit(network, inputs, tmp_path):
    result = compress(network, architecture="monarch", budget=0.9, allocate="uniform")
    small, report = quantize_module(result.model, 4)
    path = save_compressed(small, tmp_path / "few-bits.safetensors", layers=result.layers)
    again = load_compressed(path, make_network())
    assert torch.equal(again(inputs), small(inputs))
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in small.state_dict().items())
    assert path.stat().st_size < 0.5 * result.save(tmp_path / "floats.safetensors").stat().st_size + 20_000
    assert sum(layer.bits for layer in report.layers) < 8 * 4 * result.params_after / 4
    assert [r.name for r in read_compressed(path).layers] == [r.name for r in result.layers]
    with pytest.raises(ValueError, match="shape"):
        load_compressed(path, nn.Sequential(nn.Linear(48, 99), *make_network()[1:]))


def test_a_model_that_does_not_fit_is_refused(network, tmp_path):
    path = compress(network, budget=0.4).save(tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="no layer"):
        load_compressed(path, nn.Sequential(nn.Linear(48, 96)))
    with pytest.raises(ValueError, match=r"is a ReLU|does not fit|too small"):
        load_compressed(path, nn.Sequential(*reversed(make_network())))
    other = nn.Sequential(nn.Linear(48, 97), nn.ReLU(), nn.Linear(97, 64), nn.ReLU(), nn.Linear(64, 10))
    with pytest.raises(ValueError, match=r"does not fit|too small"):
        load_compressed(path, other)


def test_files_that_are_none(tmp_path, network):
    good = compress(network, budget=0.4).save(tmp_path / "small.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:-100])
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    damaged = {"version": 1, "modules": {"0": {"kind": "linear"}}, "aliases": {}, "layers": []}
    save_file(
        {"a": torch.ones(2)}, tmp_path / "damaged.safetensors", metadata={"ailys.compression": json.dumps(damaged)}
    )
    save_file({"a": torch.ones(2)}, tmp_path / "newer.safetensors", metadata={"ailys.compression": '{"version": 99}'})
    words = {"text": "not a safetensors", "empty": "not a safetensors", "cut": "cut short", "other": "not a compressed network",
             "damaged": "damaged", "newer": "newer version"}  # fmt: skip
    for name, word in words.items():
        for read in (read_compressed, lambda p: load_compressed(p, make_network())):
            with pytest.raises(ValueError, match=word):
                read(tmp_path / f"{name}.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_compressed(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match="ends so"):
        save_compressed(network, tmp_path / "small.bin")


def test_a_failed_save_leaves_the_old_file(network, tmp_path, monkeypatch):
    path = compress(network, budget=0.4).save(tmp_path / "small.safetensors")
    before = path.read_bytes()
    monkeypatch.setattr("safetensors.torch.save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_compressed(network, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_file_is_compressed_without_the_network_and_loads_into_it(network, inputs, tmp_path, kind):
    state = {name: tensor.numpy().astype(kind) for name, tensor in network.state_dict().items()}
    save_arrays({**state, "step": np.array([3])}, tmp_path / "w.safetensors")
    result = compress_file(tmp_path / "w.safetensors", tmp_path / "s.safetensors", budget=0.5, layers=["0", "2*"])
    assert [layer.name for layer in result.layers] == ["0", "2"]
    assert result.params_after < result.params_before
    fresh = make_network().to(torch.float16 if kind == np.float16 else torch.float32)
    with pytest.raises(ValueError, match="does not fit"):
        load_compressed(tmp_path / "s.safetensors", fresh)  # the stray tensor is not swallowed
    save_arrays(state, tmp_path / "w.safetensors")
    compress_file(tmp_path / "w.safetensors", tmp_path / "s.safetensors", budget=0.5, layers=["0", "2*"])
    again = load_compressed(tmp_path / "s.safetensors", make_network().to(fresh[0].weight.dtype))
    direct = compress(network.to(fresh[0].weight.dtype), budget=0.5, layers=["0", "2*"])
    difference = again(inputs.to(fresh[0].weight.dtype)) - direct.model(inputs.to(fresh[0].weight.dtype))
    assert float(difference.abs().max()) < (1e-5 if kind == np.float32 else 0.05)


def test_embeddings_in_files_are_left_alone_unless_named(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "embeddings.word.weight": rng.standard_normal((50, 32)),
        "layer.weight": rng.standard_normal((32, 32)),
        "steps.weight": np.ones((4, 4), np.int64),
        "norm.weight": np.ones(32),
    }
    save_arrays(tensors, tmp_path / "w.safetensors")
    result = compress_file(tmp_path / "w.safetensors", tmp_path / "s.safetensors", budget=0.5)
    assert {layer.name: layer.replaced for layer in result.layers} == {"layer": True, "steps": False}
    assert "type I64" in next(layer.reason for layer in result.layers if layer.name == "steps")
    named = compress_file(tmp_path / "w.safetensors", tmp_path / "t.safetensors", budget=0.5, layers="embeddings.*")
    assert named.layers[0].replaced
    with pytest.raises(ValueError, match="compressed already"):
        compress_file(tmp_path / "s.safetensors", tmp_path / "u.safetensors", budget=0.5)


def test_export_to_onnx_agrees_for_other_batches(network, inputs, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    result = compress(network, architecture="monarch", budget=0.9, allocate="uniform")
    assert export_onnx(result.model, tmp_path / "net.onnx", inputs[:3]) < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: inputs[:11].numpy()})[0]
    with torch.no_grad():
        assert np.abs(found - result.model(inputs[:11]).numpy()).max() < 1e-4
    conv = compress(nn.Sequential(nn.Conv2d(4, 16, 3, padding=1), nn.ReLU()), budget=0.8).model
    assert export_onnx(conv, tmp_path / "conv.onnx", torch.randn(2, 4, 8, 8)) < 1e-4


def test_the_types_of_the_file_win_everywhere(tmp_path):
    def build():
        return nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 3))

    for kind in (torch.bfloat16, torch.float64):
        result = compress(build().to(kind), budget=0.5, layers=["0"])
        again = load_compressed(result.save(tmp_path / f"{kind}.safetensors"), build())
        assert all(torch.equal(t, again.state_dict()[n]) for n, t in result.model.state_dict().items())
        assert {p.dtype for p in again.parameters()} == {kind}


def test_networks_built_with_butterfly_layers_load(tmp_path):
    net = nn.Sequential(ButterflyLinear(32, 32), nn.ReLU())
    again = load_compressed(
        save_compressed(net, tmp_path / "b.safetensors"), nn.Sequential(ButterflyLinear(32, 32), nn.ReLU())
    )
    assert torch.equal(again[0].weight, net[0].weight)


@pytest.mark.filterwarnings("ignore")
def test_what_a_file_cannot_hold_is_named(tmp_path):
    quantized = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(32, 32)), {nn.Linear})
    with pytest.raises(ValueError, match="not a tensor"):
        compress(nn.Sequential(quantized, nn.Linear(32, 32)), budget=0.9).save(tmp_path / "q.safetensors")
    assert not list(tmp_path.iterdir())


def test_hostile_metadata_is_damaged_metadata(tmp_path):
    def record(**changes):
        return json.dumps({"version": 1, "modules": {}, "aliases": {}, "layers": [], **changes})

    huge = {"0": {"kind": "linear", "chain": [[1, 2_000_000, 2_000_000, 1]] * 2, "perm": False}}
    texts = [
        "[" * 100_000,
        record(modules=huge),
        record(modules={"0": {"kind": "linear", "chain": [], "perm": False}}),
        "7",
        "null",
    ]
    for i, text in enumerate(texts):
        path = tmp_path / f"{i}.safetensors"
        save_file({"0.bias": torch.ones(2)}, path, metadata={"ailys.compression": text})
        with pytest.raises(ValueError, match=str(path)):
            load_compressed(path, nn.Sequential(nn.Linear(2, 2)))


def test_other_metadata_of_a_file_is_kept(tmp_path):
    source, target = tmp_path / "w.safetensors", tmp_path / "s.safetensors"
    save_arrays({"a.weight": np.random.default_rng(0).standard_normal((16, 16))}, source, metadata={"licence": "MIT"})
    compress_file(source, target, budget=0.5)
    with safe_open(target, framework="numpy") as file:
        assert file.metadata()["licence"] == "MIT"
