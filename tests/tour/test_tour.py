"""The tour: one page that stands by itself, whatever happens to a stop."""

import json
import os
import re

import pytest

import ailys.tour.runner as runner
from ailys.cli import main
from ailys.core.guarantee import Guarantee
from ailys.core.stop import Exhibit, Frame, Stop
from ailys.tour import Outcome, all_stops, render, select_stops


def stop(name="one", title="A <title>"):
    return Stop(name, title, "Why?", "Because & so.", "ailys do it", run=lambda rng: None)


def outcome(name="one", frames=2, fault=""):
    shown = tuple(
        Frame(f"frame {i}", f"<svg id='{name}-{i}'></svg>", {"number": f"{i}"}, "a remark") for i in range(frames)
    )
    exhibit = (
        None if fault else Exhibit(shown, "made up.", Guarantee("optimal", "it is best", source="page"), "position", 1)
    )
    return Outcome("butterfly", stop(name), exhibit, 1.5, 3 * 10**8, fault)


def test_the_page_is_self_contained_and_escapes_text():
    page = render([outcome()], seed=0)
    assert "A &lt;title&gt;" in page
    assert "<svg id='one-0'>" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", page)
    assert "300 MB" in page
    assert "it is best" in page


def test_one_frame_has_no_slider():
    page = render(
        [Outcome("butterfly", stop(), Exhibit((Frame("", "<svg></svg>", {}),), "d", None), 1, None)], seed=None
    )
    assert "<input" not in page


def test_a_failed_stop_is_shown_as_failed():
    page = render([outcome("good"), outcome("bad", fault="ValueError: <no>")], seed=0)
    assert "This stop failed" in page
    assert "ValueError: &lt;no&gt;" in page
    assert "failed: A &lt;title&gt;" in page


def test_stops_are_chosen_by_their_name_or_that_of_their_system():
    assert list(select_stops(["fourier"])) == ["fourier"]
    assert list(select_stops(["butterfly"])) == [n for n, (d, _) in all_stops().items() if d == "butterfly"]
    with pytest.raises(ValueError, match="did you mean 'fourier'"):
        select_stops(["fourrier"])


def test_every_stop_has_its_words():
    for name, (_, s) in all_stops().items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert all((s.title, s.question, s.story, s.command.startswith("ailys ")))


def test_a_real_stop_runs_in_its_own_process_and_reports_its_cost():
    (result,) = runner.run_stops(select_stops(["fourier"]))
    assert result.exhibit is not None, result.fault
    assert result.exhibit.guarantee.kind == "exact"
    assert len(result.exhibit.frames) == 5
    assert result.seconds > 0
    assert result.peak_bytes is None or 10**7 < result.peak_bytes < 10**10


def kill_self(domain, name, seed):
    os.kill(os.getpid(), 9)


def raise_inside(domain, name, seed):
    raise MemoryError


def test_a_stop_that_dies_does_not_take_the_tour_with_it(monkeypatch):
    monkeypatch.setattr(runner, "_work", kill_self)
    (result,) = runner.run_stops(select_stops(["fourier"]))
    assert result.exhibit is None
    assert "ended abruptly" in result.fault


def test_the_command_writes_the_page_and_fails_when_a_stop_failed(monkeypatch, tmp_path, capsys):
    import ailys.tour as tour

    outcomes = {"digits-layer": outcome("digits-layer", fault="ValueError: no"), "fourier": outcome("fourier")}
    monkeypatch.setattr(tour, "run_stops", lambda stops, seed: (outcomes[name] for name in stops))
    with pytest.raises(SystemExit) as stopped:
        main(["tour", "fourier", "--out", str(tmp_path / "t"), "--json"])
    assert stopped.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert report["stops"][0]["ok"]
    with pytest.raises(SystemExit) as stopped:
        main(["tour", "butterfly", "--out", str(tmp_path / "t")])
    assert stopped.value.code == 1
    page = (tmp_path / "t" / "index.html").read_text()
    assert "This stop failed" in page
    assert "fourier" in page


def test_a_frame_may_state_its_own_guarantee():
    def draw(rng):
        frames = [
            Frame(str(k), "<svg></svg>", {"k": str(k)}, guarantee=Guarantee("error", f"off by {k}")) for k in (1, 2)
        ]
        return Exhibit(tuple(frames), "numbers.", Guarantee("error", "said of all"), "k", start=1)

    stop = Stop("own", "Own", "Why?", "So.", "ailys tour own", draw)
    exhibit = draw(None)
    page = render([Outcome("butterfly", stop, exhibit, 1.0, None)], seed=0)
    assert exhibit.shown_guarantee.statement == "off by 2"
    assert all(text in page for text in ("off by 1", "off by 2"))
    assert "said of all" not in page
