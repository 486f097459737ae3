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
