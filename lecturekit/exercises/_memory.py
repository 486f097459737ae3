"""What a reader has done, remembered over restarts of the kernel in ``exercises.json`` in the data folder.

Nothing here stops a check: where the file cannot be read or written, the course goes on without memory.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from lecturekit.kit import records
from lecturekit.kit.storage import data_dir


def path() -> Path:
    """The file."""
    return data_dir() / "exercises.json"


def remembered(kind: str) -> dict[str, object]:
    """What is known of each thing of a kind.

    Args:
        kind: ``"exercises"`` (name -> word of the best outcome so far) or ``"questions"`` (text of the
            question -> whether it was answered rightly last time), ``"tasks"`` (name of the open task
            -> True) or ``"predictions"`` (name -> question, guess and score).
    """
    try:
        with records.locked(path()):
            return _section(records.read(path()), kind)
    except (OSError, ValueError):
        return {}


def remember(kind: str, name: str, value: object) -> None:
    """Keep `value` for the thing `name`.

    Args:
        kind: as in :func:`remembered`.
        name: of the exercise, or text of the question.
        value: what JSON can hold.
    """
    try:
        with records.locked(path()):
            content = records.read(path())
            section = _section(content, kind)
            if section.get(name) != value:
                rest = content if isinstance(content, dict) else {}
                records.write(path(), rest | {kind: section | {name: value}})
    except (OSError, ValueError) as error:
        warnings.warn(f"your progress could not be kept: {error}", stacklevel=2)


def _section(content: object, kind: str) -> dict[str, object]:
    section = content.get(kind) if isinstance(content, dict) else None
    return section if isinstance(section, dict) else {}
