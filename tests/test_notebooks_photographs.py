"""The notebooks' cells about photographs.

Those that ask for a folder in VOC's layout are run with one on this machine; elsewhere in the tests no such
folder is named, and they only say how to get one. Those that print the benchmarks' tables are run with the
committed results, with none, and with results that say something else.
"""

import json
import re

import matplotlib
import numpy as np
import pytest
from support import ROOT, VOC

from lecturekit.benchmarks import _results

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("error::FutureWarning")]

#: Cells of a notebook that the photographs' cell needs beside the first with code, and what it prints.
CELLS = {
    "04_saliency": (["photo-04c"], r"saliency +\d+ of 20\n"),
    "05_class_activation_maps": (["photo-05b"], r"20 photographs: \d+% at the threshold"),
    "07_boxes_to_pixels": (["boxes-03", "photo-07e"], r"GrabCut\+ +precision 0\.\d\d, mean IoU 0\.\d\d\n"),
    "08_bootstrapping_with_tricks": (["24d159eb", "photo-08d"], r"full supervision +0\.\d{3}\n"),
}


#: Fewer pictures than a reader has.
FEWER = {"photo-08d": ("120, 60", "24, 12")}


@pytest.mark.parametrize("name", CELLS)
def test_cells_on_photographs(name, tmp_path, monkeypatch, capsys):
    if not VOC.is_dir():
        pytest.skip(f"photographs are needed, and there is no folder {VOC}")
    wanted, pattern = CELLS[name]
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    code = {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setenv("LECTUREKIT_VOC", str(VOC))
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    names = {"__name__": "__main__"}
    with matplotlib.rc_context():
        for cell in (next(iter(code)), *wanted):
            usual, fewer = FEWER.get(cell, ("", ""))
            assert usual in code[cell]
            exec(compile(code[cell].replace(usual, fewer), cell, "exec"), names)
    assert re.search(pattern, printed := capsys.readouterr().out), printed


#: Cells that print tables of the benchmarks, and what they take from the cells before them.
TABLES = {
    "04_saliency": (["photo-04a"], {"on_scenes": {"centre (looks at nothing)": 0.3, "CAM": 0.4}}),
    "05_class_activation_maps": (["photo-05a"], {}),
    "05b_solar_cells": (["photo-39b", "photo-39d"], {"hits": {2: 5, 4: 1, 6: 8}, "near": [None] * 12}),
    "06_grad_cam": (["photo-06a"], {}),
    "07_boxes_to_pixels": (
        ["photo-07b", "photo-07c"],
        {"made": {"GrabCut": [], "GrabCut+": []}, "scores": {"GrabCut": [0.8] * 5, "GrabCut+": [0.6] * 5}},
    ),
    "08_bootstrapping_with_tricks": (
        ["photo-08b", "photo-08e", "photo-08f"],
        {"curves": {"naive": np.array([[0.4, 0.3]]), "box": np.array([[0.2, 0.2]])}},
    ),
}


def printed_by(name, capsys, monkeypatch, tmp_path):
    """What a notebook's cells with tables print."""
    wanted, given = TABLES[name]
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    code = {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    names = {"__name__": "__main__"}
    with matplotlib.rc_context():
        exec(compile(next(iter(code.values())), "imports", "exec"), names)
        names |= given
        for cell in wanted:
            exec(compile(code[cell], cell, "exec"), names)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", TABLES)
def test_tables_say_that_a_result_is_missing(name, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    monkeypatch.setattr(_results, "INSTALLED", tmp_path)
    assert re.search(r"\.json is missing", printed_by(name, capsys, monkeypatch, tmp_path))


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_printed_from_the_results(name, capsys, monkeypatch, tmp_path):
    printed = printed_by(name, capsys, monkeypatch, tmp_path)
    assert "missing" not in printed
    assert len(printed.splitlines()) > 3


def test_words_about_the_rounds_follow_the_results(capsys, monkeypatch, tmp_path):
    row = {"share_of_full": 0.8, "share_interval": [0.7, 0.9], "sd": 0.01}
    rows = [
        row | {"recipe": "naive", "title": "Naive", "students": [[0.1, 0.2], [0.1, 0.3]]},
        row | {"recipe": "box", "title": "Box", "students": [[0.5, 0.4], [0.5, 0.6]]},
        row | {"recipe": "full", "title": "full supervision", "students": [[0.6], [0.6]]},
    ]
    settings = {"train": 4, "val": 2, "seeds": 2}
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    (tmp_path / "boxes.json").write_text(json.dumps({"rows": rows, "settings": settings}), "utf-8")
    printed = printed_by("08_bootstrapping_with_tricks", capsys, monkeypatch, tmp_path)
    assert "first round: Naive is above Box on scenes, 0.400 and 0.200,\n" in printed
    assert "    and below it on photographs, 0.100 and 0.500\n" in printed
    assert "last round: Naive is above Box on scenes, 0.300 and 0.200,\n" in printed
    assert "Naive: rises in every round, with each seed\n" in printed
    assert "Box: the seeds disagree on whether it rises or falls\n" in printed
    assert "photographs: 80.0%  (Naive)\n" in printed
