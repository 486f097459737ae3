"""Result files: everything needed to trust a figure, in plain JSON."""

import json

import numpy as np
import pytest
import torch

from lecturekit.benchmarks import _results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "FOLDER", tmp_path / "results")


def test_what_is_written_is_read_back():
    rows = [
        {"method": "cam", "error": np.float32(0.5), "curve": torch.tensor([1, 2]), "missing": float("nan")}
    ]
    path = _results.save("maps", rows, {"size": 352, "batches": (1, 16)})
    assert path.name == "maps.json"
    found = json.loads(path.read_text("utf-8"))
    assert found["rows"] == [{"method": "cam", "error": 0.5, "curve": [1, 2], "missing": None}]
    assert found["settings"] == {"size": 352, "batches": [1, 16]}
    assert {"date", "machine", "commit", "torch"} < set(found)


@pytest.mark.parametrize(
    ("name", "rows", "error"),
    [
        ("../maps", [{}], ValueError),
        ("", [{}], ValueError),
        ("a", [], ValueError),
        ("a", [{"x": {1}}], TypeError),
    ],
)
def test_refused(name, rows, error):
    with pytest.raises(error):
        _results.save(name, rows, {})
    assert not _results.FOLDER.exists()


def test_an_installed_edition_brings_its_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(_results, "INSTALLED", tmp_path)
    (tmp_path / "maps.json").write_text('{"rows": [1]}', encoding="utf-8")
    assert _results.load("maps") == {"rows": [1]}


def test_disagreements_are_pairs_whose_order_turns_round_by_more_than_the_margin():
    here = {"a": 0.50, "b": 0.40, "c": 0.39, "only here": 0.0}
    there = {"only there": 1.0, "c": 0.42, "b": 0.41, "a": 0.30}
    assert _results.disagreements(here, there, 0.005) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert _results.disagreements(here, there, 0.05) == [("a", "b"), ("a", "c")]
    assert _results.disagreements(here, here, 0) == []
    turned = {name: -score for name, score in here.items()}
    assert len(_results.disagreements(here, turned, 0)) == 6


@pytest.mark.parametrize(
    ("students", "words"),
    [
        ([[1, 2, 3], [0, 1, 2]], "rises in every round, with each seed"),
        ([[3, 2, 1], [2, 1, 0]], "falls in every round, with each seed"),
        ([[1, 3, 2], [0, 1, 2]], "ends higher than it began, with each seed"),
        ([[3, 1, 2], [2, 1, 0]], "ends lower than it began, with each seed"),
        ([[1, 2], [2, 1]], "the seeds disagree on whether it rises or falls"),
        ([[1, 2], [1, 1]], "the seeds disagree on whether it rises or falls"),
    ],
)
def test_trend_says_what_all_seeds_say(students, words):
    assert _results.trend(students) == words


@pytest.mark.parametrize("students", [[1, 2], [[1], [2]], np.empty((0, 3))])
def test_trend_needs_rounds(students):
    with pytest.raises(ValueError, match="students must have the shape"):
        _results.trend(students)
