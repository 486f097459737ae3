"""The cells that ask for photographs, run with a folder in VOC's layout on this machine.

Elsewhere in the tests no such folder is named, and these cells only say how to get one.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from support import ROOT, VOC

#: Cells of a notebook that the photographs' cell needs beside the first with code, and what it prints.
CELLS = {
    "04_saliency": (["photo-04c"], r"saliency +\d+ of 20\n"),
    "05_class_activation_maps": (["photo-05b"], r"20 photographs: \d+% at the threshold"),
    "07_boxes_to_pixels": (["boxes-03", "photo-07e"], r"GrabCut\+ +precision 0\.\d\d, mean IoU 0\.\d\d\n"),
    "08_bootstrapping_with_tricks": (["24d159eb", "photo-08d"], r"full supervision +0\.\d{3}\n"),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_on_photographs(name, tmp_path):
    if not VOC.is_dir():
        pytest.skip(f"photographs are needed, and there is no folder {VOC}")
    wanted, pattern = CELLS[name]
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))["cells"]
    code = {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}
    first = next(iter(code))
    script = "\n\n".join(
        ["import matplotlib\nmatplotlib.use('agg')", code[first], *(code[k] for k in wanted)]
    )
    environment = {"LECTUREKIT_VOC": str(VOC), "LECTUREKIT_DATA": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", script],
        cwd=ROOT / "notebooks",
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert re.search(pattern, run.stdout), run.stdout
