"""A page that explains a visitor's own photograph in the browser: nothing is installed, nothing leaves it.

The sources lie in ``site/photo``. The network and its runtime are made and fetched when the page is built.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import shutil
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.photos import PHOTOS, photo
from ..evidence import cam
from ..kit.images import encoded
from ..kit.javascript import joined
from ..kit.storage import ROOT, write_atomic
from ..models import Classifier, load_classifier
from ..widgets.cam_explorer import COLOURS
from . import npm
from .network import class_map_network

SOURCES = ROOT / "site" / "photo"
#: What runs the network in the browser.
RUNTIME = "onnxruntime-web"
#: Sides of the network's input, and of the maps.
VIEWS = {224: 7, 448: 14}
#: What a visitor without WebAssembly sees: photographs that may be passed on.
EXAMPLES = ("chelsea", "coffee", "rocket")
_BITS = 16


def build(out: str | Path, home: str | None = None) -> Path:
    """Write the page to ``out/photo``, with everything that it needs.

    Args:
        out: folder of the site; made where it is missing.
        home: address of the page it belongs to, as seen from ``out/photo``, for a link back.

    Returns:
        ``out/photo/index.html``. It works from any file server, not when it is opened as a file.

    Raises:
        FileNotFoundError: there are no sources; an installed copy has none.
        ImportError: onnx is not installed (the extra ``export``).
        RuntimeError: npm is missing or could not fetch the runtime, which it does the first time.
        ValueError: `out` is where the sources lie.
    """
    if not SOURCES.is_dir():
        raise FileNotFoundError("the page's sources are missing: this is for a clone of the course")
    folder = Path(out) / "photo"
    if folder.resolve() == SOURCES:
        raise ValueError(f"out must be another folder than {SOURCES.parent}, where the sources lie")
    runtime = npm.package(RUNTIME) / "dist"
    model = load_classifier(device="cpu")
    shutil.rmtree(folder / "files", ignore_errors=True)  # of an earlier build
    large = {
        "runtime": (runtime / "ort.wasm.bundle.min.mjs").read_bytes(),
        "wasm": (runtime / "ort-wasm-simd-threaded.wasm").read_bytes(),
        "network": class_map_network(model, _BITS),
    }
    files = [_write_packed(folder, name, content) for name, content in large.items()]
    examples = [_write_example(folder, model, name) for name in EXAMPLES]
    course = {
        "categories": model.categories,
        "bias": _bias(model).tolist(),
        "colours": [[name, label, signed] for name, (label, signed) in COLOURS.items()],
        "tables": base64.b64encode(b"".join(map(_table, COLOURS))).decode("ascii"),
        "files": files,
        "examples": examples,
    }
    write_atomic(folder / "course.json", json.dumps(course))
    for name in ("page.js", "worker.js", "page.css"):
        write_atomic(folder / name, joined(SOURCES / name))
    words = {
        "megabytes": f"{sum(file['bytes'] for file in files) / 1e6:.1f}",
        "kilobits": f"{_BITS}-bit",
        "runtime": npm.VERSIONS[RUNTIME],
        "home": "" if home is None else f'<p><a href="{html.escape(home)}">From Class to Pixels</a></p>',
        "examples": "\n".join(map(_example_button, examples)),
    }
    page = Template((SOURCES / "index.html").read_text("utf-8")).substitute(words)
    return write_atomic(folder / "index.html", page)


def _write_packed(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Pack a large file; its name changes with its content, so that no browser keeps an old one."""
    packed = gzip.compress(content, 9, mtime=0)
    path = f"files/{name}-{hashlib.sha256(packed).hexdigest()[:10]}.gz"
    write_atomic(folder / path, packed)
    return {"name": path, "bytes": len(packed)}


def _write_example(folder: Path, model: Classifier, name: str) -> dict[str, Any]:
    """A photograph of the course with all its maps, explained here and now."""
    about, image = PHOTOS[name], photo(name)
    views = []
    for size, cells in VIEWS.items():
        view = model.view([image], size)[0]
        maps = cam(model, model.preprocess([image], size), "all").maps[0].numpy()  # (K, cells, cells)
        picture, numbers = f"examples/{name}-{size}.jpg", f"examples/{name}-{cells}.bin"
        write_atomic(folder / picture, encoded(view, "JPEG", quality=88))
        write_atomic(folder / numbers, eight_bit_maps(maps))
        views.append({"size": size, "cells": cells, "picture": picture, "maps": numbers})
    return {"name": name, "title": about.title, "alt": about.alt, "credit": about.credit, "views": views}


def eight_bit_maps(maps: NDArray[np.float32]) -> bytes:
    """Maps as a page without a network reads them: a scale a class as float32, then whole numbers of 8 bits.

    Args:
        maps: signed, ``(K, h, w)``.

    Example:
        >>> packed = eight_bit_maps(np.array([[[254.0, -2.0]]], np.float32))
        >>> np.frombuffer(packed[:4], "<f4"), np.frombuffer(packed[4:], np.int8)
        (array([2.], dtype=float32), array([127,  -1], dtype=int8))
    """
    scales = np.abs(maps).max(axis=(1, 2)) / 127
    scales = np.where(scales > 0, scales, 1).astype("<f4")
    return scales.tobytes() + np.rint(maps / scales[:, None, None]).astype(np.int8).tobytes()


def _example_button(example: dict[str, Any]) -> str:
    alt, credit = html.escape(example["alt"]), html.escape(example["credit"])
    picture = f'<img src="{example["views"][0]["picture"]}" alt="{alt}" width="224" height="224">'
    return (
        f'<li><button type="button" id="example-{example["name"]}">{picture}'
        f"<small>{credit}</small></button></li>"
    )


def _bias(model: Classifier) -> torch.Tensor:
    """What is added to the mean of each map, ``(K,)``."""
    bias = dict(model.network.named_parameters())["classifier.bias"]
    return bias.detach().cpu()


def _table(colour: str) -> bytes:
    """A colour map as 256 RGB triples."""
    return matplotlib.colormaps[colour](np.arange(256), bytes=True)[:, :3].tobytes()
