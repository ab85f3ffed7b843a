"""What leaves with an answer: its pickle, texts, dictionary, figure, warnings, errors and the ledger file hold no record.

One person is planted among many others: a value that nobody else has, a text that nobody else has. Seeded, so that nothing
matches by chance of the noise.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import traceback
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from ailys.privacy import Column, Ledger, count, density, histogram, mean, median, quantiles, sum, synthesize
from ailys.privacy.ledger import BudgetExceeded

N = 4643  # records: secret under add_remove
VALUE, ROUNDED, PLACE = 87.3251937, 87.325, 87_325  # planted; on the lattice; number of the lattice point
PERSON = "Zaphod4242"
LATTICE = {"bounds": (0, 100), "resolution": "0.001"}
COST = {
    "neighbours": "add_remove",
    "epsilon": 1,
    "unsafe_rng": 10,
}  # a seed whose noise is not zero: a count would be N otherwise
SECRETS = (VALUE, ROUNDED, PLACE, N, PERSON)


@pytest.fixture(scope="module")
def column():
    x = np.round(np.random.default_rng(0).gamma(2, 5, N) % 80, 3)
    x[1234] = VALUE
    return x


@pytest.fixture(scope="module")
def people():
    who = np.array([f"p{k}" for k in range(N)], dtype=object)
    who[1234] = PERSON
    return who


def _towns(x):
    return np.where(x > 85, PERSON, np.where(x > 10, "Lyon", "Nice"))


RELEASES = {
    **{
        f"quantiles, {m}": lambda x, who, m=m, **more: quantiles(x, [0.25, 0.5], method=m, **LATTICE, **COST, **more)
        for m in ("lattice", "indexp", "recexp", "jointexp", "tree", "histogram")
    },
    "median with brackets": lambda x, who, **more: median(x, confidence=0.9, n_hint=4000, **LATTICE, **COST, **more),
    "median of persons": lambda x, who, **more: median(x, person=who, **LATTICE, **COST, **more),
    "count": lambda x, who, **more: count(x, between=(80, 100), **COST, **more),
    "count of all": lambda x, who, **more: count(x, **COST, **more),
    "sum": lambda x, who, **more: sum(x, person=who, **LATTICE, **COST, **more),
    "mean": lambda x, who, **more: mean(x, **LATTICE, **COST, **more),
    "histogram": lambda x, who, **more: histogram(x, bounds=(0, 100), bins=8, **COST, **more),
    "histogram of texts": lambda x, who, **more: histogram(_towns(x), categories=["Lyon", "Nice"], **COST, **more),
    "density": lambda x, who, **more: density(x, bounds=(0, 100), n=4000, **COST, **more),
    "projection": lambda x, who, **more: density(x, bounds=(0, 100), n=4000, method="projection", **COST, **more),
}  # fmt: skip


def bytes_of(secret):
    """How a pickle, an array or a text would hold it."""
    if isinstance(secret, str):
        return [secret.encode(), secret.encode("utf-16-le"), secret.encode("utf-32-le")]
    packed = [repr(secret).encode(), *(struct.pack(f"{order}d", secret) for order in "<>")]
    if isinstance(secret, int):
        packed += [struct.pack(f"{order}{size}", secret) for order in "<>" for size in "iq"]
        packed.append(
            b"M" + struct.pack("<H", secret & 0xFFFF) if secret < 1 << 16 else b"J" + struct.pack("<i", secret)
        )
    return packed


def assert_clean(data, where):
    data = data.encode() if isinstance(data, str) else data
    for secret in SECRETS:
        for packed in bytes_of(secret):
            assert packed not in data, (where, secret)


def svg_of(figure):
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def numbers_drawn(figure):
    """All coordinates and texts of all artists."""
    numbers, texts = [], []
    for artist in figure.findobj():
        for method in ("get_xydata", "get_offsets", "get_segments", "get_xy", "get_width", "get_height"):
            if hasattr(artist, method):
                got = getattr(artist, method)()
                numbers += [
                    np.ravel(np.asarray(part, dtype=float)) for part in (got if method == "get_segments" else [got])
                ]
        if hasattr(artist, "get_paths"):
            numbers += [np.ravel(path.vertices) for path in artist.get_paths()]
        if hasattr(artist, "get_text"):
            texts.append(artist.get_text())
        assert not any(isinstance(value, np.ndarray) and value.size == N for value in vars(artist).values())
    return np.concatenate([*numbers, [0.0]]), "\n".join(texts)


@pytest.fixture(scope="module", params=list(RELEASES))
def release(request, column, people):
    """The answer, and the warnings on the way to it."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        answer = RELEASES[request.param](column, people)
    return answer, "\n".join(str(item.message) for item in said)


@pytest.fixture(scope="module")
def answer(release):
    return release[0]


def test_the_search_finds_what_is_there(column):
    leaky = {"record": float(column[1234]), "array": column, "n": len(column), "who": PERSON, "place": PLACE}
    for secret, key in ((VALUE, "record"), (VALUE, "array"), (N, "n"), (PERSON, "who"), (PLACE, "place")):
        assert any(packed in pickle.dumps({key: leaky[key]}) for packed in bytes_of(secret))
    figure = Figure()
    figure.subplots().plot([VALUE], [1], "o", label=PERSON)
    figure.axes[0].legend()
    figure.axes[0].set_title(repr(VALUE))
    assert np.isclose(numbers_drawn(figure)[0], VALUE, rtol=1e-9).any()
    assert PERSON in svg_of(figure)
    assert repr(VALUE) in svg_of(figure)


@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_pickles_hold_no_record(answer, protocol):
    assert_clean(pickle.dumps(answer, protocol), "pickle")
    assert pickle.loads(pickle.dumps(answer, protocol)).to_dict() == answer.to_dict()


def test_texts_and_dictionaries_hold_no_record(answer):
    for name, text in (("repr", repr(answer)), ("summary", answer.summary()), ("json", json.dumps(answer.to_dict()))):
        assert_clean(text, name)
    assert_clean(repr(answer.guarantee), "guarantee")


def test_figures_hold_no_record(answer):
    if not hasattr(answer, "plot"):
        pytest.skip("a number is not drawn")
    figure = answer.plot().figure
    numbers, texts = numbers_drawn(figure)
    for secret in (VALUE, ROUNDED, float(PLACE), float(N)):
        assert not np.isclose(numbers, secret, rtol=1e-9, atol=0).any()
    assert_clean(texts, "text")
    drawn = svg_of(figure)  # the streams of a .pdf are compressed: nothing could be found there
    assert PERSON not in drawn
    assert repr(VALUE) not in drawn


def test_warnings_hold_no_record(release):
    assert_clean(release[1], "warnings")


def test_synthetic_tables_hold_no_text_that_the_domain_does_not_name(column, people):
    pytest.importorskip("mbi")
    frame = {"town": _towns(column), "old": np.where(column > 20, "yes", "no")}
    with pytest.raises(ValueError, match="town") as fault:
        synthesize(frame, domain={"town": ["Lyon", "Nice"], "old": ["yes", "no"]}, **COST)
    assert PERSON not in "".join(traceback.format_exception(fault.value))
    frame["town"] = np.where(frame["town"] == PERSON, "Nice", frame["town"])
    found = synthesize(frame, domain={"town": ["Lyon", "Nice"], "old": ["yes", "no"]}, **COST)
    assert_clean(pickle.dumps(found), "pickle")
    assert_clean(repr(found) + found.summary(), "text")


FAULTS = {
    "a text among the numbers": lambda x: np.array([*x[:50].astype(object), PERSON], dtype=object),
    "a gap": lambda x: np.array([*x, np.nan]),
    "two columns": lambda x: np.stack([x, x]),
    "an infinity": lambda x: np.array([*x, np.inf]),
}
NUMERIC = [name for name in RELEASES if "texts" not in name and name != "count of all"]


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("name", NUMERIC)
def test_errors_hold_no_record(column, people, name, fault):
    x = FAULTS[fault](column)
    try:
        RELEASES[name](x, people[: len(x)] if len(x) <= N else np.append(people, "q"))
    except (ValueError, TypeError) as caught:
        told = "".join(traceback.format_exception(caught)) + repr(caught.args)
        for secret in (repr(VALUE), PERSON, str(N), str(N + 1)):
            assert secret not in told


def test_ledgers_hold_no_record(column, people, tmp_path):
    lines = [f"{v!r},{w}" for v, w in zip(column.tolist(), people, strict=True)]
    (tmp_path / "stays.csv").write_text("\n".join(["days,who", *lines]) + "\n")
    days = Column(tmp_path / "stays.csv", "days")
    ledger = Ledger(tmp_path / "book.ledger", epsilon=4)
    options = {"neighbours": "add_remove", "epsilon": 1, "ledger": ledger, "label": "stays"}
    median(days, person="who", **LATTICE, **options)
    count(days, between=(80, 100), **options)
    with pytest.raises(ValueError, match="not a number"):
        mean(Column(tmp_path / "stays.csv", "who"), **LATTICE, **options)
    with pytest.raises(BudgetExceeded):
        median(days, **LATTICE, **{**options, "epsilon": 3})
    book = (tmp_path / "book.ledger").read_bytes()
    for secret in (repr(VALUE), repr(ROUNDED), str(N), PERSON):
        assert secret.encode() not in book
        assert secret not in json.dumps(ledger.report().to_dict())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.ledger", "stays.csv"]
