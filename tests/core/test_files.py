"""Files: nothing half-written, nothing lost, nothing overwritten silently."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ailys.core.files import atomic_write, check_version, open_tensors, read_tensors, write_text
from ailys.core.validation import load_function, read_archive, read_array, result_target, writable_target


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    target = tmp_path / "result.txt"
    write_text(target, "old")
    script = textwrap.dedent(f"""
        import os, signal
        from ailys.core.files import atomic_write
        with atomic_write({str(target)!r}) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_a_new_file_is_readable_by_others_as_the_user_wants(tmp_path):
    mask = os.umask(0o022)
    try:
        assert write_text(tmp_path / "a", "x").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        write_text(tmp_path / "nowhere" / "a", "x")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        writable_target(tmp_path / "nowhere" / "a")


def test_an_existing_result_is_not_overwritten_unless_asked(tmp_path):
    target = write_text(tmp_path / "a", "x")
    with pytest.raises(FileExistsError, match="--force"):
        writable_target(target)
    assert writable_target(target, overwrite=True) == target
    with pytest.raises(ValueError, match="is a folder"):
        writable_target(tmp_path)


def test_read_array_returns_what_numpy_saved(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert np.array_equal(read_array(tmp_path / "a.npy"), np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("content", [b"", b"not numbers at all", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_file_that_is_not_an_array_is_named(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npy: not a NumPy"):
        read_array(tmp_path / "a.npy")


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: not a NumPy"):
        read_array(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", x=np.ones(2))
    with pytest.raises(ValueError, match="archive of several arrays"):
        read_array(tmp_path / "b.npz")


def test_a_damaged_header_of_an_array_is_a_sentence(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1%s,), }" % ("0" * 30)
    text = header.encode().ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(ValueError, match="not a NumPy .npy file"):
        read_array(tmp_path / "a.npy")


def test_pipes_are_not_overwritten_even_by_force(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match="a device or a pipe"):
        writable_target(tmp_path / "pipe.npy", overwrite=True)


def test_a_result_gets_the_ending_of_its_content(tmp_path):
    assert result_target(tmp_path / "a", ".npy") == tmp_path / "a.npy"
    assert result_target(tmp_path / "a.npy", ".npy") == tmp_path / "a.npy"
    with pytest.raises(ValueError, match=r"the result is a \.npy file"):
        result_target(tmp_path / "a.json", ".npy")
    (tmp_path / "a.npy").write_text("here already")
    with pytest.raises(FileExistsError, match="pass --force"):
        result_target(tmp_path / "a", ".npy")
    with pytest.raises(ValueError, match="name of a file"):
        result_target(Path("."), ".npy")


def test_an_archive_keeps_its_order(tmp_path):
    np.savez(tmp_path / "a.npz", second=np.ones(2), first=np.zeros(3))
    assert [(name, array.size) for name, array in read_archive(tmp_path / "a.npz").items()] == [
        ("second", 2),
        ("first", 3),
    ]
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"b\.npz: not a NumPy \.npz archive"):
            read_archive(tmp_path / "b.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_archive(tmp_path / "none.npz")


def test_tensors_come_with_the_record_of_their_kind(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "t.safetensors"
    save_file({"x": np.arange(3.0)}, path, metadata={"mine": "{}"})
    tensors, text = read_tensors(path, "mine", "thing of mine")
    assert text == "{}"
    assert tensors["x"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="not a thing of yours"):
        read_tensors(path, "yours", "thing of yours")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="cut short"), open_tensors(path):
        pass
    with pytest.raises(FileNotFoundError, match="no such file"), open_tensors(tmp_path / "none"):
        pass
    check_version({"version": 1}, 1)
    with pytest.raises(ValueError, match="newer version of ailys"):
        check_version({"version": 2}, 1)


def test_a_function_of_the_user_fails_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_module.py").write_text("def f(x):\n    return 1 / x\n\nnumber = 3\n")
    (tmp_path / "users_broken.py").write_text("raise RuntimeError('no')\n")
    f = load_function("users_module:f")
    assert f(2) == 0.5
    for call, sentence in (
        (lambda: f(0), "users_module:f failed at 0: ZeroDivisionError"),
        (lambda: load_function("users_module"), "must be written as module:name"),
        (lambda: load_function("users_module:number"), "has no function 'number'"),
        (lambda: load_function("users_broken:f"), "cannot import 'users_broken': RuntimeError: no"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
