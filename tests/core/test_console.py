"""What reaches the terminal."""

from pathlib import Path

import pytest

from ailys.core.console import check_jobs, progress, warn, where


def test_a_remark_is_one_line_without_commands_to_the_terminal(capsys):
    warn("two\nlines \x1b[31mred\x07 é 日本")
    assert capsys.readouterr().err == "ailys: two lines \\x1b[31mred\\x07 é 日本\n"


def test_a_long_word_loses_its_middle(capsys):
    warn(f"begin {'x' * 100_000} end")
    said = capsys.readouterr().err
    assert len(said) < 2000
    assert said.startswith("ailys: begin xxx")
    assert said.endswith("xxx end\n")


@pytest.mark.parametrize("jobs", [0, 10**30, -(10**30)])
def test_numbers_of_workers_that_are_none_are_refused(jobs):
    with pytest.raises(ValueError, match="--jobs must be"):
        check_jobs(jobs)
    assert check_jobs(-1) == -1


def test_files_are_named_where_there_are_any():
    assert where() == {}
    assert where(written=Path("a.npy"), drawn=Path("b.svg")) == {"written": "a.npy", "drawn": "b.svg"}


@pytest.mark.parametrize("total", [None, 7])
def test_progress_is_shown_on_a_terminal_whether_the_end_is_known_or_not(total, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    with progress() as display:
        display.update(display.add_task("working", total=total), advance=2)
        display.refresh()
    shown = capsys.readouterr().err
    assert "working" in shown
    assert ("2/7" in shown) == (total is not None)
