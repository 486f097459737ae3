"""What each notebook costs: CPU seconds of its kernel, those for imports, and memory, at its peak and kept.

Every notebook runs from a cold cache, in a kernel of its own with one thread. Wall time is not measured.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from tqdm.auto import tqdm

from ..kit import markdown
from ..kit.storage import ROOT
from ..kit.usage import MEASURE
from ._results import save


def run(only: str | None = None) -> str:
    """Run the notebooks and measure them.

    Args:
        only: measure the notebooks whose names begin with this.

    Returns:
        A table in Markdown; its rows are kept in ``docs/results/notebooks.json``.

    Raises:
        ValueError: no notebook of that name.
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    paths = [p for p in sorted((ROOT / "notebooks").glob("*.ipynb")) if p.stem.startswith(only or "")]
    if not paths:
        raise ValueError(f"only must begin a notebook's name, got {only!r}")
    rows = [measured(path) for path in tqdm(paths, unit="notebook")]
    if only is None:
        save("notebooks", rows, {"threads": 1, "cache": "cold"})
    names = ("seconds", "imports", "peak_mb", "kept_mb")
    forms = ("{:.0f}", "{:.1f}", "{:.0f}", "{:.0f}")
    cells = [
        [row["notebook"], *(form.format(row[name]) for form, name in zip(forms, names, strict=True))]
        for row in rows
    ]
    together = ["together", f"{sum(row['seconds'] for row in rows):.0f}", "", "", ""]
    head = ["notebook", "CPU s", "of these for imports", "peak, MB", "kept, MB"]
    return markdown.table(head, [*cells, together])


def measured(path: Path) -> dict:
    """CPU seconds of the kernel, those of its first code cell (its imports), and peak and kept memory in MB.

    Args:
        path: of the notebook.
    """
    notebook = nbformat.read(path, as_version=4)
    first = next(k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first + 1, new_code_cell(MEASURE))
    notebook.cells.append(new_code_cell(MEASURE))
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"LECTUREKIT_DATA": data, "OMP_NUM_THREADS": "1"}
        where = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=3600, kernel_name="python3", resources=where)
        client.execute(env=environment)
    imports, end = map(_printed, (notebook.cells[first + 1], notebook.cells[-1]))
    names = ("seconds", "peak_mb", "kept_mb")
    return {"notebook": path.stem, "imports": imports[0]} | dict(zip(names, end, strict=True))


def _printed(cell: nbformat.NotebookNode) -> list[float]:
    """Seconds, peak and kept memory as `MEASURE` has printed them."""
    text = "".join(output.get("text", "") for output in cell.outputs)
    return [float(word) for word in text.split("measured", 1)[1].split()[:3]]
