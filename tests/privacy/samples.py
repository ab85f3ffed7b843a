"""Valid command lines for tests/robustness; the contract stands in tests/robustness/discovery.py."""

from ailys.privacy import Ledger

LATTICE = ["--bounds", "0", "30", "--resolution", "1"]
COST = ["--neighbours", "add_remove", "--epsilon", "1"]


def _table(folder):
    days = [1, 2, 2, 3, 3, 5, 8, 13]
    lines = [f"p{k},{day},{'Lyon' if day < 5 else 'Nice'}" for k, day in enumerate(days)]
    (folder / "stays.csv").write_text("\n".join(["id,days,city", *lines]) + "\n")


def _charged(folder):
    """The table, and a ledger to charge."""
    _table(folder)
    Ledger(folder / "book.ledger", epsilon=50).spend(1, label="before")


def init(folder):
    return [["new.ledger", "--epsilon", "3", "--delta", "1e-6"], ["other.ledger", "--rho", "0.5", "--json"]]


def plan(folder):
    return [["--m", "2", "--n", "30", *LATTICE, *COST, "--plot", "p.png"]]


def quantiles(folder):
    _table(folder)
    line = ["stays.csv", "--column", "days", *LATTICE, *COST, "-q", "0.25", "-q", "0.5"]
    return [
        [*line, "--person", "id", "--contributions", "1", "--plot", "q.png"],
        [*line, "--method", "tree", "--missing", "drop", "--n-hint", "8", "--json"],
    ]


def median(folder):
    _table(folder)
    return [
        ["stays.csv", "--column", "days", *LATTICE, *COST, "--confidence", "0.9", "--n-hint", "8", "--plot", "m.png"]
    ]


def count(folder):
    _charged(folder)
    return [
        ["stays.csv", "--column", "city", *COST, "--equal-to", "Lyon", "--json"],
        ["stays.csv", "--column", "days", *COST, "--between", "1", "3", "--ledger", "book.ledger", "--label", "short"],
    ]


def total(folder):
    _table(folder)
    return [["stays.csv", "--column", "days", *LATTICE, *COST, "--missing", "value", "--missing-value", "0"]]


def histogram(folder):
    _table(folder)
    return [
        ["stays.csv", "--column", "days", *COST, "--bounds", "0", "30", "--bins", "3", "--plot", "h.png"],
        ["stays.csv", "--column", "city", *COST, "--category", "Lyon", "--category", "Nice", "--json"],
    ]


def density(folder):
    _table(folder)
    return [
        [
            "stays.csv",
            "--column",
            "days",
            "--bounds",
            "0",
            "30",
            *COST,
            "--n",
            "8",
            "--smoothness",
            "1",
            "--plot",
            "d.png",
        ]
    ]


def show(folder):
    _charged(folder)
    return [["book.ledger", "--plot", "b.png"]]


def charge(folder):
    _charged(folder)
    return [["book.ledger", "--label", "training", *COST]]


def audit(folder):
    (folder / "robustness_mechanism.py").write_text(
        "import numpy as np\n\n\ndef noisy(data, n):\n    return sum(data) + np.random.default_rng(0).laplace(size=n)\n"
    )
    return [
        [
            "robustness_mechanism:noisy",
            "--claimed-epsilon",
            "1",
            "--worst",
            "count",
            "--samples",
            "2000",
            "--plot",
            "a.png",
        ],
        ["robustness_mechanism:noisy", "--claimed-epsilon", "1", "--data", "0", "--neighbour", "1", "--samples", "500"],
    ]


def price(folder):
    return [["bernoulli", "--n", "50", "--epsilon", "0.5", "--plot", "c.png"]]


SAMPLES = {
    "init": init,
    "plan": plan,
    "quantiles": quantiles,
    "median": median,
    "count": count,
    "sum": total,
    "mean": total,
    "histogram": histogram,
    "density": density,
    "ledger show": show,
    "ledger charge": charge,
    "audit": audit,
    "price": price,
}
