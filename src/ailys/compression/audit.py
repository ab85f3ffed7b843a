"""Claims of the domain, each with an experiment that tries to contradict it."""

from __future__ import annotations

import copy
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


def _network(rng: Rng, choices: tuple[int, ...] = (6, 8, 12, 16, 24)) -> Any:
    """Two or three linear layers of odd sizes, in double precision so that rounding hides nothing."""
    torch = _torch()
    sizes = [int(n) for n in rng.choice(choices, int(rng.integers(3, 5)))]
    layers: list[Any] = []
    for before, after in itertools.pairwise(sizes):
        linear = torch.nn.Linear(before, after, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(_matrix(rng, after, before)))
            linear.bias.copy_(torch.from_numpy(rng.uniform(-0.3, 0.3, after)))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def _inputs(rng: Rng, network: Any) -> Any:
    torch = _torch()
    n = network[0].in_features
    data = rng.standard_normal((60, n)) @ (rng.standard_normal((n, n)) * 0.7 ** np.arange(n))
    return torch.from_numpy(np.where(rng.random(n) < 0.1, 0.0, data))  # some inputs are dead


def _budget(rng: Rng) -> float:
    return float(rng.uniform(0.45, 0.95))


def _within_the_guarantee(layers: Any, promise: Any, errors: dict[str, tuple[float, float]], rounding: float) -> bool:
    """Whether a guarantee of the whole keeps its word: error and best rival of each replaced layer by its name."""
    replaced = [report for report in layers if report.replaced]
    if promise is None:
        return not replaced
    if promise.values["n_replaced"] != len(replaced):
        return False
    for report in replaced:
        error, rival = errors[report.name]
        if abs(error - report.relative_error) > rounding or error > promise.values["largest_relative_error"] + rounding:
            return False
        if error > promise.level * rival * (1 + 2e-6) + rounding or report.lower_bound > rival * (1 + 1e-8) + rounding:
            return False
    return True


def certificates_hold(rng: Rng) -> bool:
    """Errors from dense matrices, alternating least squares as rival; the guarantee of the result, or of its file."""
    from ..butterfly.truncation import dense_of
    from . import compress, load_compressed
    from .files import CompressedFile, read_compressed

    if rng.random() < 0.5:  # three factors, which may be far from the best
        network = _network(rng, (8,))
        result = compress(network, architecture="dyadic")
    else:
        network = _network(rng)
        result = compress(network, budget=_budget(rng), allocate=str(rng.choice(["global", "uniform"])))
    model, answer = result.model, result
    if rng.random() < 0.3:
        with tempfile.TemporaryDirectory() as folder:
            path = result.save(Path(folder) / "network.safetensors")
            model, answer = load_compressed(path, copy.deepcopy(network)), read_compressed(path)
            assert isinstance(answer, CompressedFile)
    errors = {}
    for report in answer.layers:
        if report.replaced:
            A = network.get_submodule(report.name).weight.detach().numpy()
            layer = model.get_submodule(report.name)
            norm = float(np.linalg.norm(A)) or 1.0
            error = float(np.linalg.norm(A - layer.weight.detach().numpy())) / norm
            own = [dense_of(x.detach().numpy()) for x in layer.factors] if len(report.chain) > 2 else None
            errors[report.name] = error, _rival(rng, A / norm, report.chain, own)
    return not _within_the_guarantee(answer.layers, answer.guarantee, errors, 1e-9)


def _rival(rng: Rng, A: np.ndarray, chain: Any, start: Any = None) -> float:
    """Error of alternating least squares on the supports of the factors, from factors given or at random."""
    supports = [chain.support(l).toarray() > 0 for l in range(len(chain))]
    factors = start or [np.where(support, rng.standard_normal(support.shape), 0.0) for support in supports]
    for _ in range(6 if len(chain) == 2 else 3):
        for l in reversed(range(len(chain))):
            before, after = np.eye(A.shape[0]), np.eye(A.shape[1])
            for X in factors[:l]:
                before = before @ X
            for X in reversed(factors[l + 1 :]):
                after = X @ after
            rows, cols = np.nonzero(supports[l])
            if l == 0 or l == len(chain) - 1:  # rows or columns by themselves
                end, target, support = (after.T, A.T, supports[l].T) if l == 0 else (before, A, supports[l])
                found = np.zeros(support.shape)
                for j in range(support.shape[1]):
                    keep = support[:, j]
                    found[keep, j] = np.linalg.lstsq(end[:, keep], target[:, j], rcond=None)[0]
                factors[l] = found.T if l == 0 else found
                continue
            design = np.einsum("ik,kj->ijk", before[:, rows], after[cols]).reshape(A.size, -1)
            factors[l] = np.zeros(supports[l].shape)
            factors[l][rows, cols] = np.linalg.lstsq(design, A.ravel(), rcond=None)[0]
    product = np.eye(A.shape[0])
    for X in factors:
        product = product @ X
    return float(np.linalg.norm(A - product))


def output_errors_are_true(rng: Rng) -> bool:
    """Calibrated layers: the error of the output against the data, the ridge included; the guarantee, in the weighted norm."""
    from . import compress
    from .candidates import RIDGE

    network = _network(rng)
    x = _inputs(rng, network)
    result = compress(network, budget=_budget(rng), calibration=[x], allocate="uniform")
    hidden = x.numpy()
    errors = {}
    for i, layer in enumerate(network):
        report = next((r for r in result.layers if r.name == str(i)), None)
        if report is not None and report.replaced and not np.ptp(hidden, axis=0).any():
            errors[report.name] = report.relative_error, np.inf  # all inputs are dead: the data give no norm
        elif report is not None and report.replaced:
            centred = hidden - hidden.mean(0)  # the bias takes care of the mean
            moment = centred.T @ centred / len(hidden) + RIDGE * np.mean(centred**2) * np.eye(hidden.shape[1])
            A, X = (net.get_submodule(report.name).weight.detach().numpy() for net in (network, result.model))
            root = np.linalg.cholesky(moment)
            norm = float(np.linalg.norm(A @ root)) or 1.0
            if abs(float(np.linalg.norm((A - X) @ root)) / norm - (report.output_error or 0.0)) > 1e-5:
                return True
            # the norm of the certificate sees the blocks of columns apart; they keep the support of the last factor,
            # so that the weighted problem is a plain one for another matrix
            blocks = np.kron(np.eye(report.chain[-1].a), np.ones((report.chain[-1].c, report.chain[-1].c)))
            root = np.linalg.cholesky(moment * blocks)
            norm = float(np.linalg.norm(A @ root)) or 1.0
            errors[report.name] = (
                float(np.linalg.norm((A - X) @ root)) / norm,
                _rival(rng, A @ root / norm, report.chain),
            )
        with _torch().no_grad():
            hidden = layer(_torch().from_numpy(hidden)).numpy()
    return not _within_the_guarantee(result.layers, result.guarantee, errors, 1e-5)


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
    """Output and gradients of a layer against the dense product of its factors, at a random batch size."""
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
    dense = torch.eye(rows, dtype=torch.float64)
    for f in layer.factors:
        a, b, c, d = f.shape
        full = torch.einsum("abcd,ae,df->abdecf", f, torch.eye(a, dtype=f.dtype), torch.eye(d, dtype=f.dtype))
        dense = dense @ full.reshape(a * b * d, a * c * d)
    true = torch.nn.functional.linear(x if perm is None else x[:, torch.from_numpy(perm)], dense, layer.bias)
    found = layer(x)
    dy = torch.from_numpy(rng.standard_normal(tuple(true.shape)))
    wanted = (x, *layer.parameters())
    expected, gradients = torch.autograd.grad(true, wanted, dy), torch.autograd.grad(found, wanted, dy)
    pairs = [(true, found), *zip(expected, gradients, strict=True)]
    return any(float((a - b).detach().abs().max()) > 1e-9 * (1 + float(a.detach().abs().max())) for a, b in pairs)


CLAIMS = (
    Claim(
        "certificate", "each layer's error is exact, and no rival shows it farther from the best than the guarantee says",
        certificates_hold, covers=("CompressionResult", "CompressedFile"),
    ),
    Claim(
        "output-error", "so it is in the norm of calibrated layers, and the error of their output is that on the data",
        output_errors_are_true, covers=("CompressionResult",),
    ),
    Claim("budget", "the budget is kept, and no sharing of it beats the Lagrangian bound", budgets_are_kept),
    Claim("files", "a saved network loads to the same bits and reports", files_are_exact, covers=("CompressedFile",)),
    Claim(
        "untouched", "what cannot be replaced, and the network given, is left to the bit", the_rest_is_untouched,
        covers=("CompressionResult",),
    ),
    Claim("layers", "layers and their gradients agree with the dense product of their factors", layers_multiply_right),
)  # fmt: skip
