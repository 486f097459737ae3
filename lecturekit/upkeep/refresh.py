"""Runs a notebook from top to bottom and writes it back with outputs fit to commit: lean and repeatable."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from ..kit.images import data_uri, encoded
from ..kit.storage import write_atomic
from ..publish import live
from .rules import OUTPUT_RULES, WIDGET_VIEW, complaints

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}
_KERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
#: What an author may say of a cell; the rest is left there by front ends and changes from run to run.
_CELL_METADATA = ("tags", "slideshow", "jupyter", "editable", "deletable")


#: Pixels of a committed figure to one CSS pixel of the page: what a photograph and a legible label need.
COMMITTED_SCALE = 0.8
#: Of WebP, for photographs: larger panels show more than finer grain does.
PHOTO_QUALITY = 50


class Refused(Exception):
    """The notebook was not written; the message says why."""


def refresh(path: str | Path, timeout: int = 600) -> int:
    """Execute the notebook at `path`, clean its outputs and write it back; returns its size in bytes.

    `timeout` is the seconds one cell may take. Raises `Refused`, and leaves the file as it was, where a cell
    raised or took too long or where the outputs break one of `rules.OUTPUT_RULES`. The run does not see the
    reader's own files: its data folder is fresh and empty. What the web page of one of the course's notebooks
    needs of its widgets is written to ``site/live/data``.
    """
    path = Path(path)
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as made:
        watched = live.environment(Path(made), path)
        execute(notebook, path.parent, {"LECTUREKIT_DATA": data} | watched, timeout)
        clean(notebook)
        found = complaints(notebook, OUTPUT_RULES)
        if found:
            raise Refused("\n".join(found))
        live.keep(notebook, Path(made), path)
    text = nbformat.writes(notebook) + "\n"
    write_atomic(path, text)
    return len(text.encode())


def execute(
    notebook: NotebookNode, folder: str | Path, environment: dict[str, str], timeout: int = 600
) -> None:
    """Run every cell in a new kernel of this Python, started in `folder` with `environment` added to its own.

    Raises `Refused` where a cell raises, runs longer than `timeout` seconds, or ends the kernel.
    """
    client = NotebookClient(
        notebook,
        timeout=timeout,
        resources={"metadata": {"path": str(Path(folder).resolve())}},
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
    )
    # A kernel called python3 in the user's own folder may belong to another Python.
    spec = client.create_kernel_manager().kernel_spec
    if spec is None:
        raise Refused("no kernel named python3 is installed")
    spec.argv = _KERNEL
    try:
        client.execute(env={**os.environ, **environment})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise Refused(str(error)) from error


def clean(notebook: NotebookNode) -> None:
    """Take out of `notebook` what changes between runs or machines, and make its images lean."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in _CELL_METADATA})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keep(output)]


def _keep(output: NotebookNode) -> bool:
    """Clean one output in place; False where nothing of it is left to show."""
    if output.output_type == "stream":
        return not (output.name == "stderr" and _is_progress(output.text))
    if "data" not in output:
        return True
    widget = output.data.pop(WIDGET_VIEW, None)
    if widget and _is_progress(output.data.get("text/plain", "")):
        return False
    if "text/html" in output.data:
        output.data["text/html"] = _PNG.sub(_lean, output.data["text/html"])
    return bool(output.data)


def _is_progress(text: str) -> bool:
    """Whether `text` is nothing but progress bars; a warning is a fault of the notebook and must be seen."""
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    return all(re.search(r"\[\d\d:\d\d|\d%\|.*\|| \[[\d:?]+<", line) for line in lines)


_PNG = re.compile(r'(?P<head><img\b[^>]*?) src="data:image/png;base64,(?P<data>[^"]+)"')


def _lean(image: re.Match[str]) -> str:
    """An ``<img>`` with its PNG in the smallest form that looks the same; the text it has stays.

    A figure that is shown smaller than it is, for sharp displays, is committed at `COMMITTED_SCALE`.
    """
    width = re.search(r' width="(\d+)"', image["head"])
    mime, data = smallest(base64.b64decode(image["data"]), int(width[1]) if width else None)
    return f'{image["head"]} src="{data_uri(data, mime)}"'


def smallest(png: bytes, shown: int | None = None) -> tuple[str, bytes]:
    """Mime type and bytes of the smallest of: WebP exact, WebP with 256 colours, WebP as a photograph.

    Few colours are kept as they are, line art gets 256, photographs become blurred where nobody sees it;
    what is transparent stays so.

    Args:
        png: the file.
        shown: the width in CSS pixels that the image is displayed at, if that is known.
    """
    with Image.open(io.BytesIO(png)) as opened:
        if opened.mode.startswith("I"):  # 16 bit: Pillow would turn it white
            return "image/png", png
        image = opened.convert("RGBA")
    if shown is not None and (width := round(shown * COMMITTED_SCALE)) < image.width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    exact = {"lossless": True, "quality": 100, "method": 6}
    forms = [encoded(np.asarray(image), "WEBP", **exact)]
    if image.getcolors(256) is None:
        few = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).convert("RGBA")
        forms.append(encoded(np.asarray(few), "WEBP", **exact))
        forms.append(encoded(np.asarray(image), "WEBP", quality=PHOTO_QUALITY, alpha_quality=80, method=6))
    return "image/webp", min(forms, key=len)
