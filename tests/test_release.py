"""What a user gets: a wheel and a source archive with the right content, and a core that works without PyTorch."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from ailys import __version__
from ailys.domains import DOMAINS

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

# stands in the environment of the wheel as sitecustomize: PyTorch cannot be imported there
WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "onnxruntime", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

sys.meta_path.insert(0, Blocked())
"""

# system -> the first answer that a user of the core asks for; skipped while the system is not there
SMOKE = {
    "butterfly": (
        "import numpy as np; from ailys.butterfly import butterfly; "
        "print(butterfly(np.eye(8), 'dyadic').guarantee.kind)"
    ),
    "quantization": (
        "import numpy as np; from ailys.quantization import quantize_rank_one; "
        "print(quantize_rank_one(np.arange(1.0, 5), np.ones(3), 3).guarantee.kind)"
    ),
    "bandits": (
        "from ailys.bandits import oracle_weights; print(round(oracle_weights([.5, .45, .43, .4]).lower_bound(0.1)))"
    ),
    "mdp": (
        "from ailys.mdp import evaluate, solve; from ailys.mdp.envs import Cliff; cliff = Cliff().to_mdp(); "
        "print(evaluate(cliff, solve(cliff).policy).cvar(0.1))"
    ),
    "privacy": (
        "from ailys.privacy import median; "
        "print(median([1, 2, 2, 3, 9], bounds=(0, 10), resolution=1, neighbours='replace', epsilon=1).guarantee.kind)"
    ),
    "selfsimilarity": (
        "from ailys.selfsimilarity import estimate_hurst, fractional_brownian_motion; "
        "print(estimate_hurst(fractional_brownian_motion(0.7, 4096, rng=0)).hurst)"
    ),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel and the source archive, built without a network."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def python(archives, tmp_path_factory):
    """A fresh environment with the wheel; its dependencies are those of the environment of the tests, less PyTorch."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    binary = folder / "bin" / "python"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    site = Path(
        subprocess.run(
            [binary, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            env=clean,
        ).stdout.strip()
    )
    # pip works on the fresh environment alone (`--prefix` would take the tests' own ailys away)
    command = [sys.executable, "-m", "pip", "--python", str(binary), "install", "-q", "--no-deps", "--no-index"]
    command.append(str(archives[0]))
    ours = sorted(Path(sysconfig.get_path("purelib")).glob("*ailys*"))
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, done.stderr
    assert sorted(Path(sysconfig.get_path("purelib")).glob("*ailys*")) == ours
    # plain paths behind the wheel's own: no .pth file of the tests' environment is read, so its ailys is not there
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(WITHOUT_TORCH)

    def run(*arguments, cwd=None):
        return subprocess.run([binary, *arguments], capture_output=True, text=True, env=clean, cwd=cwd or folder)

    where = run("-c", "import ailys; print(ailys.__file__)").stdout.strip()
    assert Path(where).is_relative_to(folder), where
    return run


def test_the_wheel_holds_the_package_and_nothing_else(archives):
    with zipfile.ZipFile(archives[0]) as wheel:
        names = wheel.namelist()
        entry = wheel.read(f"ailys-{__version__}.dist-info/entry_points.txt").decode()
    assert {name.split("/")[0] for name in names} == {"ailys", f"ailys-{__version__}.dist-info"}
    kept = {name for name in names if not name.startswith("ailys-")}
    source = ROOT / "src" / "ailys"
    wanted = {
        f"ailys/{path.relative_to(source)}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".nbi", ".nbc")
    }
    assert kept == wanted
    assert {"ailys/py.typed", "ailys/tour/templates/page.html.j2"} <= kept
    assert all(f"ailys/{name}/cli.py" in kept for name in DOMAINS)
    assert "ailys = ailys.__main__:main" in entry


def test_the_source_archive_can_be_built_tested_and_read(archives):
    with tarfile.open(archives[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "CITATION.cff", "tests/conftest.py",
                 "docs/conf.py", "benchmarks/conftest.py", "src/ailys/cli.py"):  # fmt: skip
        assert name in names, name
    assert not [n for n in names if "__pycache__" in n or "_build" in n or "_generated" in n or n.startswith(".venv")]


def test_the_program_starts(python):
    assert python("-m", "ailys", "--version").stdout == f"ailys {__version__}\n"
    listed = python("-m", "ailys", "--help").stdout
    assert all(name in listed for name in DOMAINS)


def test_an_ab_test_runs_without_pytorch(python, tmp_path):
    rows = [f"{arm},{int(i % 10 < (8 if arm == 'new' else 2))}" for i in range(300) for arm in ("new", "old")]
    (tmp_path / "t.csv").write_text("arm,y\n" + "\n".join(rows) + "\n")
    done = python("-m", "ailys", "bandits", "abtest", "t.csv", "--arm", "arm", "--outcome", "y", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["decision"], report["guarantee"]["kind"]) == ("reject", "anytime-alpha")


@pytest.mark.parametrize("system", SMOKE)
def test_the_core_answers_without_pytorch(python, system):
    if system not in DOMAINS:
        pytest.skip(f"{system} is not in this version")
    done = python("-c", f"import sys; {SMOKE[system]}; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_what_needs_pytorch_says_so(python):
    done = python("-c", "from ailys.quantization import QuantizedButterflyLinear")
    assert "pip install 'ailys[networks]'" in done.stderr


def test_no_system_is_imported_before_it_is_asked_for(python):
    """And the times, in the report of ``pytest -rP``."""
    script = "import sys, time; t = time.process_time(); import {0}; print(time.process_time() - t, len(sys.modules))"
    for module in ("ailys", "ailys.cli", *(f"ailys.{name}" for name in DOMAINS if name != "compression")):
        times = [python("-c", script.format(module)).stdout.split() for _ in range(3)]
        print(f"import {module}: {min(float(t[0]) for t in times):.3f} s, {times[0][1]} modules")
    assert min(float(python("-c", script.format("ailys")).stdout.split()[0]) for _ in range(5)) < 0.15
    done = python(
        "-c", "import ailys, sys; print([n for n in sys.modules if n.startswith('ailys.') and n != 'ailys.domains'])"
    )
    assert done.stdout.strip() == "[]"
