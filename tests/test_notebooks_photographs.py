"""The cells that ask for photographs, run with a folder in VOC's layout on this machine.

Elsewhere in the tests no such folder is named, and these cells only say how to get one.
"""

import json
import re

import matplotlib
import pytest
from support import ROOT, VOC

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("error::FutureWarning")]

#: Cells of a notebook that the photographs' cell needs beside the first with code, and what it prints.
CELLS = {
    "04_saliency": (["photo-04c"], r"saliency +\d+ of 20\n"),
    "05_class_activation_maps": (["photo-05b"], r"20 photographs: \d+% at the threshold"),
    "07_boxes_to_pixels": (["boxes-03", "photo-07e"], r"GrabCut\+ +precision 0\.\d\d, mean IoU 0\.\d\d\n"),
    "08_bootstrapping_with_tricks": (["24d159eb", "photo-08d"], r"full supervision +0\.\d{3}\n"),
}


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
            exec(compile(code[cell], cell, "exec"), names)
    assert re.search(pattern, printed := capsys.readouterr().out), printed
