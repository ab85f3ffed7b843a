"""Benchmarks: one thread, CPU time, ours and the peers in the same run; a lean JSON of the result."""

import os
import platform
from importlib import metadata

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


# distributions of peers that are not in the ``bench`` extra because their requirements clash with the constraints
PEERS = (
    *("diffprivlib", "mabwiser", "mdpsolver", "opendp", "pymab", "pymdptoolbox", "pymultifracs", "python-dp", "PyXAB"),
    *("quantecon", "SMPyBandits", "lazylinop", "pyfaust", "torch-structured", "torchao", "torch", "scipy"),
)


def _is_installed(name):
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Keep what the documentation shows: group, contestant, seconds, and what kind of machine it was."""
    cpu = output_json["machine_info"].get("cpu", {})
    rows = [
        {
            "group": b["group"],
            "name": b["params"]["contestant"] if b.get("params") else b["name"],
            "seconds": b["stats"]["min"] / b["extra_info"].get("repeated", 1),  # for work shorter than the clock's tick
            "median": b["stats"]["median"] / b["extra_info"].get("repeated", 1),
            "rounds": b["stats"]["rounds"],
            **{name: value for name, value in b["extra_info"].items() if name != "repeated"},
        }
        for b in output_json["benchmarks"]
    ]
    kept = {
        "machine": f"{cpu.get('brand_raw', platform.machine())}, one thread, CPU time, least of the rounds",
        "python": platform.python_version(),
        "date": output_json["datetime"][:10],
        "versions": {name: metadata.version(name) for name in PEERS if _is_installed(name)},
        "rows": rows,
    }
    output_json.clear()
    output_json.update(kept)
