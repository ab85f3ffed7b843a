"""The command line as a whole: help, version, exit codes, errors on one line, start-up time."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ailys.cli import main
from ailys.domains import DOMAINS


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def test_help_lists_every_system_and_front(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in (*DOMAINS, "tour", "audit"):
        assert name in out


def test_version(capsys):
    from ailys import __version__

    assert run(capsys, "--version") == (0, f"ailys {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("butterfly", "nonsense"),
        ("butterfly", "factorize"),
        ("audit", "--trials", "0"),
        ("tour", "nowhere"),
    ],
)
def test_bad_words_give_one_line_and_code_2(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("ailys: ")
    assert err.count("\n") == 1


def test_a_fault_of_our_own_is_one_line_too(capsys, monkeypatch, tmp_path):
    import ailys.butterfly

    def broken(*args, **kwargs):
        raise IndexError("deep inside")

    monkeypatch.setattr(ailys.butterfly, "butterfly", broken)
    np.save(tmp_path / "a.npy", np.eye(4))
    code, _, err = run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy"))
    assert code == 1
    assert "a fault in ailys itself (IndexError: deep inside)" in err
    assert err.count("\n") == 1


def test_python_dash_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "ailys", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ailys ")


def test_a_reader_that_leaves_early_is_not_an_error():
    done = subprocess.run(
        f"{sys.executable} -m ailys butterfly chains 64x64 --limit 4000 --max-rank 20 | head -1",
        shell=True, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""


def test_the_import_is_light_and_the_help_fast():
    # processor time, the best of several runs, since the machine may be busy; CI prints the times of the clock
    def best(*command):
        times = []
        for _ in range(5):
            before = os.times()
            subprocess.run(command, check=True, capture_output=True)
            after = os.times()
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        return min(times)

    heavy = (
        "import ailys, sys; print([m for m in ('numpy', 'scipy', 'matplotlib', 'torch', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    helped = "import sys\nfrom ailys.cli import main\ntry:\n    main(['--help'])\nfinally:\n    print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", helped], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert best(sys.executable, "-c", "import ailys") < 0.3
    assert best(sys.executable, "-m", "ailys", "--help") < 0.6


def test_warnings_of_libraries_are_lines_of_the_program(capsys, monkeypatch, tmp_path):
    import warnings

    import ailys.butterfly

    honest = ailys.butterfly.butterfly

    def warned(*args, **kwargs):
        for _ in range(2):
            warnings.warn("rounded twice", stacklevel=1)
        return honest(*args, **kwargs)

    monkeypatch.setattr(ailys.butterfly, "butterfly", warned)
    np.save(tmp_path / "a.npy", np.eye(4))
    code, _, err = run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy"))
    assert (code, err) == (0, "ailys: rounded twice\n")
    code, _, err = run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy"), "--order", "up")
    assert code == 2
    assert err.count("\n") == 1


def test_an_interrupt_is_one_line(capsys, monkeypatch, tmp_path):
    import ailys.butterfly

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ailys.butterfly, "butterfly", interrupted)
    np.save(tmp_path / "a.npy", np.eye(4))
    assert run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy")) == (130, "", "ailys: stopped\n")


def test_an_interrupt_behind_another_error_is_an_interrupt(capsys, monkeypatch, tmp_path):
    import ailys.butterfly

    def stopped(*args, **kwargs):
        class Meanwhile:  # Python 3.11 puts what happens here into a RuntimeError
            def __set_name__(self, owner, name):
                raise KeyboardInterrupt

        type("Library", (), {"attribute": Meanwhile()})

    monkeypatch.setattr(ailys.butterfly, "butterfly", stopped)
    np.save(tmp_path / "a.npy", np.eye(4))
    code, _, err = run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy"))
    assert (code, err) == (130, "ailys: stopped\n")


def test_an_interrupt_in_a_callback_of_compiled_code_is_not_lost(capsys, monkeypatch, tmp_path):
    import ctypes

    import ailys.butterfly

    @ctypes.CFUNCTYPE(None)
    def callback():
        raise KeyboardInterrupt

    def stopped(*args, **kwargs):
        callback()
        time.sleep(5)
        raise AssertionError("the interrupt was dropped")

    monkeypatch.setattr(ailys.butterfly, "butterfly", stopped)
    np.save(tmp_path / "a.npy", np.eye(4))
    code, _, err = run(capsys, "butterfly", "factorize", str(tmp_path / "a.npy"))
    assert (code, err) == (130, "ailys: stopped\n")
