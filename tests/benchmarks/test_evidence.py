"""`bench evidence` on a small network: it goes on where it was stopped, and starts anew after its end."""

import json

import pytest
import torch
from torch import nn

from lecturekit.benchmarks import _results, evidence


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 9, 5)
    )


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    monkeypatch.setattr(evidence, "one_thread", lambda: None)  # would count for the tests after this
    monkeypatch.setattr(evidence, "SIZE", 16)
    monkeypatch.setattr(evidence, "CASES", (evidence.Case("small", small, "3", "1"),))
    monkeypatch.setattr(evidence, "available", lambda: [torch.device("cpu")])
    monkeypatch.setattr(evidence, "_others", lambda: {"captum": evidence._captum})
    return tmp_path


def test_a_stopped_run_goes_on_and_an_ended_one_is_forgotten(monkeypatch, folder):
    measured = []
    measure = evidence._measure

    def until_the_third(case, layer, *rest):
        measured.append(layer)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(case, layer, *rest)

    monkeypatch.setattr(evidence, "_measure", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        evidence.run(rounds=2, batches=(1, 2))
    assert not (folder / "evidence.json").exists()
    table = evidence.run(rounds=2, batches=(1, 2))
    assert measured == ["3", "1", "3", "3", "1"]
    rows = json.loads((folder / "evidence.json").read_text("utf-8"))["rows"]
    assert [(row["batch"], row["layer"], row["method"]) for row in rows] == [
        (batch, layer, name)
        for batch in (1, 2)
        for layer in ("3", "1")
        for name in ("forward pass alone", "lecturekit grad_cam", "captum")
    ]
    assert all(row["distance"] < 1e-5 for row in rows if row["method"] != "forward pass alone")
    assert all(row["ratio"] == 1 for row in rows if row["method"] == "forward pass alone")
    heading, _, *lines = table.splitlines()[2:]
    assert heading == (
        "| device | batch | network | layer | lecturekit grad_cam | captum | kept: ours / others |"
    )
    assert [line.split(" | ")[1:4] for line in lines] == [
        [str(batch), "small", f"`{layer}`"] for batch in (1, 2) for layer in ("3", "1")
    ]
    evidence.run(rounds=2, batches=(1, 2))
    assert len(measured) == 9  # nothing was left of the run before


def test_a_quick_run_leaves_the_file_as_it_is(folder):
    assert len(evidence.run(rounds=1, batches=(1, 2), quick=True).splitlines()) == 6
    assert not (folder / "evidence.json").exists()
