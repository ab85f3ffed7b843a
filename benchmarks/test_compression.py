"""Butterfly layers against `torch.nn.Linear`, torch-structured, and a pair of linear layers from `torch.svd_lowrank`.

Within a group all contestants are layers of one size applied to one batch; the first is ours. Forward is without gradients;
"step" is forward and backward with gradients of input and parameters. Peers that are not installed are left out.
"""

import time

import pytest

torch = pytest.importorskip("torch")

from ailys.butterfly import Chain  # noqa: E402
from ailys.compression import ButterflyLinear  # noqa: E402

pytestmark = pytest.mark.benchmark(timer=time.process_time, warmup=False)

SIZES, BATCHES = (512, 1024, 2048), (1, 8, 64, 512)


def low_rank(n):
    """The usual pair of layers, from a randomised SVD, with as many weights as the Monarch layer."""
    rank = Chain.monarch(n).n_params // (2 * n)
    dense = torch.nn.Linear(n, n)
    U, S, V = torch.svd_lowrank(dense.weight.detach(), q=rank, niter=2)
    pair = torch.nn.Sequential(torch.nn.Linear(n, rank, bias=False), torch.nn.Linear(rank, n))
    with torch.no_grad():
        pair[0].weight.copy_(V.t())
        pair[1].weight.copy_(U * S)
    return pair


def structured(kind):
    def build(n):
        if kind == "butterfly" and n & (n - 1):
            pytest.skip("powers of two only")
        return pytest.importorskip("torch_structured").make_linear(kind, n, n)

    return build


CONTESTANTS = {
    "ailys, Monarch (default)": lambda n: ButterflyLinear(n, n),
    "ailys, dyadic": lambda n: pytest.skip("powers of two only") if n & (n - 1) else ButterflyLinear(n, n, "dyadic"),
    "torch-structured, Monarch": structured("monarch"),
    "torch-structured, butterfly": structured("butterfly"),
    "svd_lowrank, two layers": low_rank,
    "dense": lambda n: torch.nn.Linear(n, n),
}


def _timed(benchmark, work):
    work()
    start = time.process_time()
    for _ in range(3):
        work()
    once = (time.process_time() - start) / 3
    inner = max(1, int(2e-3 / max(once, 1e-7)))  # the clock of the process ticks coarsely

    def several():
        for _ in range(inner):
            work()

    benchmark.pedantic(several, rounds=int(min(60, max(5, 0.5 / (once * inner)))), warmup_rounds=1)
    benchmark.extra_info["repeated"] = inner


@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("work", ["forward", "step"])
def test_layer(benchmark, work, n, batch, contestant):
    if contestant == "torch-structured, butterfly" and (n, batch) not in ((512, 8), (1024, 128)):
        pytest.skip("two sizes are enough: it is slower than the dense layer")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layer = CONTESTANTS[contestant](n)
    x = torch.randn(batch, n, requires_grad=work == "step")
    dy = torch.randn(batch, n)
    benchmark.group = f"layer, {work}: order {n}, batch {batch}"

    def forward():
        with torch.no_grad():
            return layer(x)

    def step():
        layer.zero_grad()
        x.grad = None
        layer(x).backward(dy)

    _timed(benchmark, forward if work == "forward" else step)
