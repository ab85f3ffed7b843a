"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..core.claim import Claim
from ..core.optional import require

__all__ = ["CLAIMS"]

Rng = np.random.Generator


def _torch() -> Any:
    return require("torch", extra="networks", purpose="the audit of compression")


def _matrix(rng: Rng, rows: int, cols: int) -> np.ndarray:
    """Weights of one of the kinds on which algorithms differ."""
    A = rng.standard_normal((rows, cols))
    kind = rng.choice(["gaussian", "decaying", "sparse", "signs", "graded", "zero rows", "low rank"])
    if kind == "decaying":
        return A * 0.9 ** np.arange(cols)
    if kind == "sparse":
        return np.where(rng.random(A.shape) < 0.1, A, 0.0)
    if kind == "signs":
        return rng.choice([-1.0, 1.0], A.shape)[:, rng.integers(0, cols, cols)]
    if kind == "graded":
        return A * 10.0 ** rng.uniform(-6, 0, rows)[:, None]
    if kind == "zero rows":
        return A * (rng.random(rows) < 0.5)[:, None]
    if kind == "low rank":
        return A[:, :2] @ rng.standard_normal((2, cols))
    return A


def _network(rng: Rng) -> Any:
    """Two or three linear layers of odd sizes, in double precision so that rounding hides nothing."""
    torch = _torch()
    sizes = [int(n) for n in rng.choice([6, 8, 12, 16, 24], int(rng.integers(3, 5)))]
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        linear = torch.nn.Linear(before, after, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(_matrix(rng, after, before)))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _inputs(rng: Rng, network: Any) -> Any:
    torch = _torch()
    n = network[0].in_features
    data = rng.standard_normal((60, n)) @ (rng.standard_normal((n, n)) * 0.7 ** np.arange(n))
    return torch.from_numpy(np.where(rng.random(n) < 0.1, 0.0, data))  # some inputs are dead


def _budget(rng: Rng) -> float:
    return float(rng.uniform(0.45, 0.95))


def certificates_hold(rng: Rng) -> bool:
    """Error of each layer from its dense matrix; alternating least squares against the lower bound."""
    from . import compress

    network = _network(rng)
    result = compress(network, budget=_budget(rng), allocate=str(rng.choice(["global", "uniform"])))
    for report in result.layers:
        if not report.replaced:
            continue
        A = network.get_submodule(report.name).weight.detach().numpy()
        X = result.model.get_submodule(report.name).weight.detach().numpy()
        norm = float(np.linalg.norm(A)) or 1.0
        if abs(float(np.linalg.norm(A - X)) / norm - report.relative_error) > 1e-9:
            return True
        rival = _rival(rng, A / norm, report.chain)
        if (
            report.lower_bound > report.relative_error * (1 + 1e-9) + 1e-12
            or rival < report.lower_bound * (1 - 1e-8) - 1e-10
        ):
            return True
    return False


def _rival(rng: Rng, A: np.ndarray, chain: Any) -> float:
    """Error of alternating least squares on the supports of two factors, from a random start."""
    if len(chain) != 2:
        return float("inf")
    X, Y = ((chain.support(l).toarray() > 0) * 1.0 for l in range(2))
    rows_of, cols_of = Y > 0, X > 0
    X = X * rng.standard_normal(X.shape)
    for _ in range(8):
        for j in range(A.shape[1]):
            Y[rows_of[:, j], j] = np.linalg.lstsq(X[:, rows_of[:, j]], A[:, j], rcond=None)[0]
        for i in range(A.shape[0]):
            X[i, cols_of[i]] = np.linalg.lstsq(Y[cols_of[i]].T, A[i], rcond=None)[0]
    return float(np.linalg.norm(A - X @ Y))


def output_errors_are_true(rng: Rng) -> bool:
    """The reported error of a calibrated layer's output against the data, the ridge included."""
    from . import compress
    from .candidates import RIDGE

    network = _network(rng)
    x = _inputs(rng, network)
    result = compress(network, budget=_budget(rng), calibration=[x], allocate="uniform")
    hidden = x.numpy()
    for i, layer in enumerate(network):
        report = next((r for r in result.layers if r.name == str(i)), None)
        if report is not None and report.replaced and np.ptp(hidden, axis=0).any():
            centred = hidden - hidden.mean(0)  # the bias takes care of the mean
            ridge = np.sqrt(RIDGE * np.mean(centred**2) * len(hidden)) * np.eye(hidden.shape[1])
            data = np.vstack([centred, ridge])
            A, X = (net.get_submodule(report.name).weight.detach().numpy() for net in (network, result.model))
            norm = float(np.linalg.norm(data @ A.T)) or 1.0
            if abs(float(np.linalg.norm(data @ (A - X).T)) / norm - (report.output_error or 0.0)) > 1e-5:
                return True
        with _torch().no_grad():
            hidden = layer(_torch().from_numpy(hidden)).numpy()
    return False


def budgets_are_kept(rng: Rng) -> bool:
    """Weights counted in the network itself against the budget, and the sharing against random sharings."""
    from . import compress
    from .allocation import allocate_globally
    from .candidates import layer_options, read_architecture

    network = _network(rng)
    budget = _budget(rng)
    result = compress(network, budget=budget)
    linears = [m for m in network if hasattr(m, "weight")]
    dense = sum(m.weight.numel() for m in linears)
    biases = sum(m.bias.numel() for m in linears)
    left = sum(p.numel() for p in result.model.parameters()) - biases
    if left > budget * dense or left != result.params_after:
        return True
    options = [layer_options(m.weight.detach().numpy(), read_architecture("auto")) for m in linears]
    found = allocate_globally(options, int(budget * dense))
    for _ in range(200):
        choice = [each[int(rng.integers(len(each)))] for each in options]
        if sum(o.n_params for o in choice) <= int(budget * dense) and sum(o.cost for o in choice) < found.bound - 1e-9:
            return True
    return False


def files_are_exact(rng: Rng) -> bool:
    """What is loaded is what was saved, to the bit, with the same reports."""
    from . import compress, load_compressed
    from .files import read_compressed

    torch = _torch()
    network = _network(rng).to([torch.float64, torch.float32, torch.float16][int(rng.integers(3))])
    architecture = ["auto", "monarch", "lowrank"][int(rng.integers(3))]
    result = compress(network, max_error=float(rng.uniform(0.3, 0.99)), architecture=architecture)
    with tempfile.TemporaryDirectory() as folder:
        path = result.save(Path(folder) / "network.safetensors")
        again = load_compressed(path, network)
        reports = read_compressed(path).layers
    state, loaded = result.model.state_dict(), again.state_dict()
    same = state.keys() == loaded.keys() and all(
        torch.equal(t, loaded[n]) and t.dtype == loaded[n].dtype for n, t in state.items()
    )
    return not (same and [r.to_dict() for r in reports] == [r.to_dict() for r in result.layers])


def the_rest_is_untouched(rng: Rng) -> bool:
    """Tied, shared and unselected layers, and all biases, compared to the bit; the network given as well."""
    from . import compress

    torch = _torch()
    network = _network(rng)
    network.append(torch.nn.Linear(network[-1].out_features, network[0].in_features, dtype=torch.float64))
    network.append(network[0])  # used twice
    network.register_module("head", torch.nn.Linear(8, 8, dtype=torch.float64))
    network.register_module("tied", torch.nn.Linear(8, 8, dtype=torch.float64))
    network.tied.weight = network.head.weight
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result = compress(network, budget=0.9, allocate="uniform", max_error=None)
    replaced = {report.name for report in result.layers if report.replaced}
    after = result.model.state_dict()
    kept = {name for name in before if name.removesuffix(".weight") not in replaced}
    if replaced & {"0", "head", "tied"} or any(not torch.equal(before[n], after[n]) for n in kept):
        return True
    return any(not torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def layers_multiply_right(rng: Rng) -> bool:
    """Output and gradients of a layer against its own dense matrix, at a random batch size."""
    from ..butterfly import Chain
    from . import ButterflyLinear

    torch = _torch()
    q, p = (tuple(int(v) for v in rng.integers(1, 7, 3)) for _ in range(2))
    chain = Chain.from_splits(q, p, tuple(int(v) for v in rng.integers(1, 4, 2)))
    rows, cols = chain.shape
    perm = rng.permutation(cols) if rng.random() < 0.3 else None
    linear = torch.nn.Linear(cols, rows, dtype=torch.float64)
    layer = ButterflyLinear.from_linear(linear, chain, perm=perm)
    x = torch.from_numpy(rng.standard_normal((int(rng.integers(1, 80)), cols))).requires_grad_()
    true = torch.nn.functional.linear(x, layer.weight, layer.bias)
    found = layer(x)
    dy = torch.from_numpy(rng.standard_normal(tuple(true.shape)))
    wanted = (x, *layer.parameters())
    expected, gradients = torch.autograd.grad(true, wanted, dy), torch.autograd.grad(found, wanted, dy)
    pairs = [(true, found), *zip(expected, gradients, strict=True)]
    return any(float((a - b).detach().abs().max()) > 1e-9 * (1 + float(a.detach().abs().max())) for a, b in pairs)


CLAIMS = (
    Claim("certificate", "each layer's error is exact and nobody gets below its lower bound", certificates_hold),
    Claim("output-error", "the error of a calibrated layer's output is that on the data", output_errors_are_true),
    Claim("budget", "the budget is kept, and no sharing of it beats the Lagrangian bound", budgets_are_kept),
    Claim("files", "a saved network loads to the same bits and reports", files_are_exact),
    Claim("untouched", "what cannot be replaced, and the network given, is left to the bit", the_rest_is_untouched),
    Claim("layers", "layers and their gradients agree with their dense matrix", layers_multiply_right),
)
