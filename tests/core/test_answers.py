"""Guarantees and answers: what a person reads and what a machine gets."""

import copy
import json
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from ailys.core.answer import Answer, jsonable
from ailys.core.guarantee import Guarantee


@dataclass(frozen=True)
class Estimate(Answer):
    value: float
    draws: np.ndarray
    promise: Guarantee | None = None

    @property
    def guarantee(self):
        return self.promise

    def facts(self):
        return {"value": self.value, "draws": self.draws, "valid": np.True_}


def test_summary_has_a_line_for_each_fact_and_one_for_the_guarantee():
    promise = Guarantee("coverage", "covers the mean with probability 0.95", level=0.95, source="page X")
    lines = Estimate(1.23456, np.arange(3.0), promise).summary().splitlines()
    assert lines[0].split() == ["value", "1.235"]
    assert "yes" in lines[2]
    assert lines[-1].endswith("covers the mean with probability 0.95 [page X]")


def test_an_answer_without_guarantee_says_so():
    assert "nothing is proved" in Estimate(1.0, np.zeros(1)).summary()
    assert Estimate(1.0, np.zeros(1)).to_dict()["guarantee"] is None


def test_to_dict_survives_json():
    promise = Guarantee("error-bound", "small", 2.0, {"error": np.float64(0.5)}, ("iid",), "here")
    answer = Estimate(float("nan"), np.array([1 + 2j]), promise)
    again = json.loads(json.dumps(answer.to_dict()))
    assert again["value"] is None
    assert again["draws"] == [[1.0, 2.0]]
    assert again["guarantee"]["values"] == {"error": 0.5}


def test_jsonable_makes_infinities_readable_by_any_parser():
    text = json.dumps(jsonable({"a": float("inf"), "b": [np.int64(3)]}), allow_nan=False)
    assert json.loads(text)["b"] == [3]


def test_a_guarantee_cannot_be_changed_afterwards():
    numbers = {"error": 1.0}
    promise = Guarantee("error-bound", "small", values=numbers)
    numbers["error"] = 0.0
    assert promise.values["error"] == 1.0
    with pytest.raises(TypeError):
        promise.values["error"] = 0.0
    with pytest.raises(AttributeError):
        promise.level = 3.0


def test_a_guarantee_travels_between_processes():
    promise = Guarantee("error-bound", "small", 2.0, {"error": 1.0}, ("iid",), "here")
    assert pickle.loads(pickle.dumps(promise)) == promise
    assert copy.deepcopy(promise) == promise


def test_a_guarantee_without_level_is_not_a_number():
    assert float(Guarantee("error-bound", "small", 2.0)) == 2.0
    with pytest.raises(TypeError, match="no level"):
        float(Guarantee("exact", "it is so"))
