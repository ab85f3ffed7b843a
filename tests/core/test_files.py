"""Files: nothing half-written, nothing lost, nothing overwritten silently."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from ailys.core.files import atomic_write, write_text
from ailys.core.validation import read_array, writable_target


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
