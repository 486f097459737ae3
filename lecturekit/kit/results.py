"""What benchmarks measured: the files in ``docs/results``, which a wheel carries along."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .storage import ROOT

#: Where a checkout has them, and where a wheel carries them.
FOLDER = ROOT / "docs" / "results"
INSTALLED = Path(__file__).parents[1] / "docs" / "results"


def load(name: str, folders: Sequence[Path] = (FOLDER, INSTALLED)) -> dict[str, Any]:
    """What a benchmark wrote last.

    Args:
        name: of the benchmark.
        folders: where to look, in this order.

    Raises:
        FileNotFoundError: it was never run here, and this edition brings no figures of it.
    """
    for folder in folders:
        if (folder / f"{name}.json").is_file():
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    raise FileNotFoundError(f"{name}.json is missing: `python -m lecturekit bench {name}` writes it")
