"""Experiments of the compression page: real networks that ship inside packages, and layers on two threads.

    python benchmarks/reproduce_compression.py [minilm] [curve] [crepe] [threads] [memory]

Each part prints its table and writes it to docs/measured/compression-<part>.json. The curve takes about five minutes for
each of its distilled points.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from ailys.compression import ButterflyLinear, compress, distill
from ailys.compression.samples import crepe, docstring_sentences, hear, minilm, tones
from ailys.quantization import quantize_module

MEASURED = Path(__file__).resolve().parent.parent / "docs" / "measured"
TRAIN = ["numpy", "scipy.stats", "scipy.optimize", "scipy.special", "sklearn.linear_model", "sklearn.ensemble"]
TRAIN += ["sklearn.preprocessing", "torch"]
TEST = ["scipy.signal", "scipy.linalg", "sklearn.cluster", "sklearn.metrics"]


def write(part: str, rows: list[dict]) -> None:
    (MEASURED / f"compression-{part}.json").write_text(json.dumps({"table": rows}, indent=1) + "\n")


class Sentences:
    """The encoder, training sentences, and 400 others on which a smaller encoder is compared with it."""

    def __init__(self) -> None:
        self.encoder = minilm()
        rng = np.random.default_rng(0)
        train = docstring_sentences(TRAIN)
        test = [s for s in docstring_sentences(TEST) if s not in set(train)]
        self.train = [train[i] for i in rng.permutation(len(train))]
        self.test = [test[i] for i in rng.permutation(len(test))[:400]]
        self.true = self.encoder.encode(self.test)
        self.calibration = self.encoder.batches(self.train[:384])

    def compare(self, model) -> dict[str, float]:
        """Cosine to the original embeddings, Spearman of pairwise similarities, agreement of nearest neighbours."""
        found = self.encoder.encode(self.test, model)
        before, after = self.true @ self.true.T, found @ found.T
        pairs = np.triu_indices(len(found), 1)
        spearman = spearmanr(before[pairs], after[pairs])[0]
        for table in (before, after):
            np.fill_diagonal(table, -2)
        return {
            "cosine": round(float((self.true * found).sum(1).mean()), 3),
            "Spearman": round(float(spearman), 3),
            "same nearest": round(float((before.argmax(1) == after.argmax(1)).mean()), 3),
        }


def encoder_layers(module, name: str) -> bool:
    return name.startswith("encoder.")


def ffn(module, name: str) -> bool:
    return "intermediate" in name or (name.endswith("output.dense") and "attention" not in name)


def part_minilm() -> None:
    """F7: feed-forward layers at half their weights, all layers at three quarters, without training."""
    data, rows = Sentences(), []
    for title, layers, budget in (("feed-forward layers", ffn, 0.5), ("all 36 layers", encoder_layers, 0.75)):
        for architecture in ("lowrank", "blocks:2", "blocks:4", "auto"):
            for calibration in (None, data.calibration):
                start = time.perf_counter()
                result = compress(
                    data.encoder.model, budget=budget, layers=layers, architecture=architecture, calibration=calibration
                )
                row = {
                    "layers": title,
                    "budget": budget,
                    "architecture": architecture,
                    "calibrated": "yes" if calibration else "no",
                    "weights": result.params_after,
                    **data.compare(result.model),
                    "seconds": round(time.perf_counter() - start),
                }
                rows.append(row)
                print(row, flush=True)
                write("minilm", rows)


# -- the smallest network -------------------------------------------------------------------------


def rounded(model, bits: int):
    """Weight-only rounding of the encoder's matrices to whole numbers, a scale for each row: what a file would hold."""
    small, top = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for name, module in small.named_modules():
        if isinstance(module, torch.nn.Linear) and name.startswith("encoder."):
            w = module.weight.data
            scale = w.abs().amax(1, keepdim=True) / top
            module.weight.data = torch.round(w / scale) * scale
    return small


def pruned(model, kept: float):
    """The largest weights of each of the encoder's matrices; a mask keeps the others at zero in training."""
    small = copy.deepcopy(model)
    for name, module in list(small.named_modules()):
        if isinstance(module, torch.nn.Linear) and name.startswith("encoder."):
            w = module.weight.data
            threshold = w.abs().flatten().kthvalue(max(1, int((1 - kept) * w.numel()))).values
            torch.nn.utils.parametrize.register_parametrization(module, "weight", _Mask(w.abs() > threshold))
    return small


class _Mask(torch.nn.Module):
    def __init__(self, mask) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, w):
        return w * self.mask


def part_curve(steps: int = 320, budgets: tuple[float, ...] = (0.75, 0.7)) -> None:
    """Quality against size with calibration and distillation, and the rivals.

    320 steps take five minutes on two cores that do nothing else (.9 s a step).
    """
    data, rows = Sentences(), []
    batches = data.encoder.batches(sorted(data.train[384:8384], key=len), 32)
    linear = [
        m.weight
        for n, m in data.encoder.model.named_modules()
        if isinstance(m, torch.nn.Linear) and n.startswith("encoder.")
    ]
    dense, scales = sum(w.numel() for w in linear), sum(len(w) for w in linear)

    def add(method: str, weights: int, size: float, model, trained: int = 0) -> None:
        row = {"method": method, "encoder weights": weights, "encoder MB": round(size / 1e6, 2)}
        rows.append({**row, "steps of distillation": trained, **data.compare(model)})
        print(rows[-1], flush=True)
        write("curve", rows)

    add("original", dense, 4 * dense, data.encoder.model)
    for bits in (8, 6, 5, 4):
        size = dense * bits / 8 + 4 * scales
        add(f"rounded to {bits} bits, a scale for each row", dense, size, rounded(data.encoder.model, bits))
    for budget in budgets:
        result = compress(data.encoder.model, budget=budget, layers=encoder_layers, calibration=data.calibration)
        weights = result.params_after
        add("ailys, calibrated", weights, 4 * weights, result.model)
        teach(result.model, data, batches, steps)
        add("ailys, calibrated", weights, 4 * weights, result.model, steps)
        if budget == min(budgets):
            for significand in (5, 4):
                small, report = quantize_module(rounded(result.model, 8), significand)
                left = [
                    m.weight for n, m in small.named_modules() if isinstance(m, torch.nn.Linear) and "encoder." in n
                ]
                size = sum(layer.bits for layer in report.layers) / 8 + sum(w.numel() + 4 * len(w) for w in left)
                title = f"the same, factors with {significand} significant bits, dense layers 8 bits"
                add(title, weights, size, small, steps)
        if budget != 0.75:
            continue
        plain = compress(
            data.encoder.model, budget=budget, layers=encoder_layers, architecture="lowrank", allocate="uniform"
        )
        add("low rank, plain", plain.params_after, 4 * plain.params_after, plain.model)
        teach(plain.model, data, batches, steps)
        add("low rank, plain", plain.params_after, 4 * plain.params_after, plain.model, steps)
        # at equal bytes: four for a value and two for its column
        left = int(budget * dense * 4 / 6)
        small = pruned(data.encoder.model, left / dense)
        add("pruned, largest weights", left, 6 * left, small)
        teach(small, data, batches, steps)
        add("pruned, largest weights", left, 6 * left, small, steps)


def token_states(model, batch):
    """The last states of the tokens that are there: more to learn from than their mean."""
    return model(**batch)[0] * batch["attention_mask"][..., None]


def teach(model, data: Sentences, batches, steps: int) -> None:
    found = distill(
        model,
        data.encoder.model,
        batches,
        steps=steps,
        lr=4e-4,
        rng=0,
        output=token_states,
    )
    print(f"   {len(found.history)} steps in {found.seconds:.0f} s", flush=True)


# -- a network with convolutions and ground truth ---------------------------------------------------


CREPE_LAYERS = ["conv1", "conv[3-6]", "classifier"]


def part_crepe() -> None:
    """Pitch of synthetic tones, in cents, by the tiny network and its compressed versions."""
    model = crepe("tiny")
    sounds, pitch = tones(1500, rng=1)
    listening, _ = tones(600, rng=2)
    rows = []

    def judge(method: str, small, weights: int) -> None:
        with torch.no_grad():
            cents = np.abs(1200 * np.log2(hear(small(sounds)) / pitch))
        row = {
            "method": method,
            "weights": weights,
            "median error, cents": round(float(np.median(cents)), 1),
            "within 50 cents": round(float((cents < 50).mean()), 3),
        }
        rows.append(row)
        print(row, flush=True)
        write("crepe", rows)

    layers = ["conv1", "conv3", "conv4", "conv5", "conv6", "classifier"]
    judge("original", model, sum(model.get_submodule(name).weight.numel() for name in layers))
    for budget in (0.9, 0.8, 0.7, 0.6, 0.5):
        for name, calibration in (("plain", None), ("calibrated", list(listening.split(100)))):
            # the second convolution has 8192 inputs, too many for a matrix of their moments to be worth it
            result = compress(model, budget=budget, layers=CREPE_LAYERS, calibration=calibration)
            judge(f"{name}, budget {budget:g}", result.model, result.params_after)


# -- layers ---------------------------------------------------------------------------------------


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"


def part_threads(passes: int = 4, seconds: float = 0.07) -> None:
    """`torch.nn.Linear` over `ButterflyLinear`, wall time, on one and two threads; forgetting gradients is not timed.

    The least of many calls, in turn; every cell is visited in each pass, since a busy core can spoil all calls of a second.
    """
    orders, batches = (512, 768, 1024, 2048), (1, 2, 4, 8, 16, 32, 64, 128, 512)
    texts = {n: ["monarch"] if n & (n - 1) else ["monarch", "dyadic"] for n in orders}
    layers = {n: [torch.nn.Linear(n, n), *(ButterflyLinear(n, n, text) for text in texts[n])] for n in orders}
    least: dict[tuple, float] = {}

    def visit(threads: int, n: int, batch: int, seconds: float) -> None:
        torch.set_num_threads(threads)
        x, dy = torch.randn(batch, n, requires_grad=True), torch.randn(batch, n)
        for work in ("forward", "step"):
            stop = time.perf_counter() + seconds
            while time.perf_counter() < stop:
                for position, layer in enumerate(layers[n]):
                    for _ in range(3):
                        start = time.perf_counter()
                        if work == "forward":
                            with torch.no_grad():
                                layer(x)
                        else:
                            layer(x).backward(dy)
                        cell = threads, n, batch, work, position
                        least[cell] = min(least.get(cell, np.inf), time.perf_counter() - start)
                        layer.zero_grad()
                        x.grad = None

    for _ in range(passes):
        for cell in itertools.product((1, 2), orders, batches):
            visit(*cell, seconds)
        rows = []
        for threads, n in itertools.product((1, 2), orders):
            for position, text in enumerate(texts[n], start=1):
                row = {"threads": threads, "order": n, "chain": text}
                for batch in batches:
                    cells = [(threads, n, batch, work) for work in ("forward", "step")]
                    row[f"{batch}"] = " / ".join(_short(least[*c, 0] / least[*c, position]) for c in cells)
                rows.append(row)
        print(*rows, sep="\n", flush=True)
        write("threads", rows)


def _step_in_a_process(kind: str, n: int, batch: int) -> float:
    """Megabytes by which a training step of a fresh layer raises the peak of a process, its input and gradient apart."""
    from ailys.tour.runner import peak_memory

    torch.set_num_threads(1)
    build = {"nn.Linear": lambda n: torch.nn.Linear(n, n)}.get(kind, lambda n: ButterflyLinear(n, n, kind))
    build(64)(torch.randn(40, 64, requires_grad=True)).sum().backward()  # compiles, loads libraries
    x, dy = torch.randn(batch, n, requires_grad=True), torch.randn(batch, n)
    before = peak_memory()
    layer = build(n)
    layer(x).backward(dy)
    return (peak_memory() - before) / 1e6


def part_memory() -> None:
    """Peak memory of building a layer and taking a training step."""
    import multiprocessing

    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for n, batch in ((2048, 512), (4096, 512)):
            row = {"order": n, "batch": batch}
            for kind in ("nn.Linear", "monarch", "dyadic"):
                row[f"{kind}, MB"] = round(pool.apply(_step_in_a_process, (kind, n, batch)), 1)
            rows.append(row)
            print(row, flush=True)
            write("memory", rows)


if __name__ == "__main__":
    parts = {name.removeprefix("part_"): function for name, function in globals().items() if name.startswith("part_")}
    for name in sys.argv[1:] or parts:
        parts[name]()
