"""What a benchmark measured, as a file: ``docs/results/NAME.json``, beside the sentences that quote it."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..kit import cache, results
from ..kit.results import FOLDER, INSTALLED
from ..kit.storage import ROOT, data_dir, write_atomic


def save(name: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Path:
    """Write what was measured to ``docs/results/NAME.json`` and return the path.

    The file holds ``date``, ``machine``, ``commit``, ``torch``, ``settings`` and ``rows``. NumPy's numbers
    and arrays become plain ones; NaN becomes null, which every reader of JSON knows.

    Args:
        name: the benchmark's name on the command line.
        rows: one record a line of its table.
        settings: whatever must be known to repeat the run: sizes, rounds, seeds, numbers of images.

    Raises:
        ValueError: `name` is no plain word, or there are no rows.
        TypeError: a value that JSON does not know.
    """
    if not name.replace("_", "").isalnum():
        raise ValueError(f"name must be a plain word, got {name!r}")
    if len(rows) == 0:
        raise ValueError("rows must hold at least one record, got none")
    content = {
        "name": name,
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "commit": commit(),
        "torch": metadata.version("torch"),
        "settings": _plain(settings),
        "rows": _plain(rows),
    }
    return write_atomic(FOLDER / f"{name}.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def load(name: str) -> dict[str, Any]:
    """What `save` wrote last.

    Args:
        name: of the benchmark.

    Raises:
        FileNotFoundError: it was never run here, and this edition brings no figures of it.
    """
    return results.load(name, (FOLDER, INSTALLED))


def kept(name: str) -> dict[str, Any]:
    """What `load` gives; where there is nothing yet, no rows and a printed word on how to get some.

    Args:
        name: of the benchmark.
    """
    try:
        return load(name)
    except FileNotFoundError as missing:
        print(f"{missing} (with --data and a folder in VOC's layout)")
        return {"rows": [], "settings": {}}


def disagreements(
    here: Mapping[str, float], there: Mapping[str, float], margin: float
) -> list[tuple[str, str]]:
    """Pairs whose order is another one in another place: the first is ahead here, and behind there.

    Args:
        here: a score by name; higher is better.
        there: the same in the other place. Names that only one of the two has are left out.
        margin: by more than this the two must differ, in both places.

    Example:
        >>> disagreements({"a": 0.5, "b": 0.3, "c": 0.1}, {"a": 0.2, "b": 0.4, "d": 0.9}, margin=0.1)
        [('a', 'b')]
    """
    both = [name for name in here if name in there]
    return [(a, b) for a in both for b in both if here[a] - here[b] > margin and there[b] - there[a] > margin]


def trend(students: ArrayLike) -> str:
    """What students do over the rounds, in words, as far as all seeds say the same.

    Args:
        students: their scores, ``(seeds, rounds)``, at least two rounds.

    Raises:
        ValueError: another shape.

    Example:
        >>> trend([[0.43, 0.41, 0.39], [0.42, 0.41, 0.40]])
        'falls in every round, with each seed'
    """
    scores = np.asarray(students, float)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
        raise ValueError(f"students must have the shape (seeds, at least 2 rounds), got {scores.shape}")
    steps = np.diff(scores, axis=1)
    whole = scores[:, -1] - scores[:, 0]
    for up, verb, end in ((1, "rises", "higher"), (-1, "falls", "lower")):
        if (up * steps > 0).all():
            return f"{verb} in every round, with each seed"
        if (up * whole > 0).all():
            return f"ends {end} than it began, with each seed"
    return "the seeds disagree on whether it rises or falls"


def part(
    name: str, about: Sequence[object], make: Callable[[], Iterable[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The rows of one part of a benchmark: made and kept in the data folder, or found there.

    A benchmark that is stopped goes on with the next part. Parts of other settings, of another version of
    torch and of other code of `learning`, `pixels` and the benchmarks are not found.

    Args:
        name: the benchmark's name.
        about: everything that tells this part from others, as `cache.content_key` takes it.
        make: makes the rows.
    """
    package = Path(__file__).parents[1]
    code = cache.source_key(package / "learning", package / "pixels", package / "benchmarks")
    key = cache.content_key(about, code, torch.__version__)
    file = _parts(name) / f"{key}.json"
    if not file.exists():
        rows = [_plain(row) for row in make()]
        write_atomic(file, json.dumps(rows, allow_nan=False))
    return json.loads(file.read_text("utf-8"))


def forget_parts(name: str) -> None:
    """Delete the parts of a benchmark, so that its next run measures anew.

    Args:
        name: the benchmark's name.
    """
    for file in _parts(name).glob("*.json"):
        file.unlink()


def _parts(name: str) -> Path:
    return data_dir() / "benchmarks" / name


def _plain(value: Any) -> Any:
    """`value` in the types that JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"rows and settings must be numbers, texts and lists of them, got {type(value).__name__}")


def commit() -> str:
    """The checkout's commit, with a plus where files were changed since; "unknown" outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
