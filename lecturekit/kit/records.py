"""Small JSON files that several notebooks write: locked, never half written, never lost when damaged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .storage import write_atomic

#: Seconds to wait for another notebook, whose own reading and writing takes milliseconds.
PATIENCE = 30


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else who asks for the lock of `path` has it meanwhile, in this process or another.

    Raises ``TimeoutError`` when another holds it for longer than `PATIENCE` seconds. The lock is an empty
    file beside `path`; the operating system frees it when its holder dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise TimeoutError(f"another program has kept {path.name} locked for {PATIENCE} seconds") from error
    try:
        yield
    finally:
        lock.release()


def read(path: Path) -> object:
    """What the JSON file holds, None where there is none. A damaged file is set aside first, with a warning.

    Hold the lock of `path`, or a file that another notebook has just mended may be set aside.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):  # no JSON, no UTF-8, brackets without end
        set_aside(path)
        return None


def write(path: Path, content: object) -> None:
    """Write `content` as JSON; the old file stands until the new one is complete. Hold the lock of `path`."""
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def set_aside(path: Path) -> Path:
    """Rename a damaged file to a name that is free, tell the reader, and return the new path."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    warnings.warn(
        f"{path.name} could not be read and is kept as {aside.name}; a new one is begun", stacklevel=2
    )
    return aside
