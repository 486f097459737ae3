"""Small JSON files that several notebooks write: locked, never half written, never lost when damaged."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from .storage import write_atomic

try:
    import fcntl
except ImportError:  # Windows, or a browser
    fcntl = None

#: Seconds to wait for another notebook, whose own reading and writing takes milliseconds.
PATIENCE = 30


@contextmanager
def locked(path: Path, reading: bool = False) -> Generator[bool]:
    """Nobody else who asks for the lock of `path` has it meanwhile, in this process or another.

    The lock is an empty file beside `path`; the operating system frees it when its holder dies.

    Args:
        path: of the file that is read or written meanwhile.
        reading: go on without a lock where none can be made: nothing can be written there by others, either.

    Yields:
        Whether there is a lock, and the file may be written.

    Raises:
        TimeoutError: another holds the lock for longer than `PATIENCE` seconds.
        OSError: no lock can be made (a read-only folder), unless `reading`.
    """
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path)
        lock.acquire(timeout=PATIENCE)
    except Timeout as error:
        raise TimeoutError(f"another program has kept {path.name} locked for {PATIENCE} seconds") from error
    except OSError:
        if not reading:
            raise
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _lock(path: Path) -> BaseFileLock:
    """The operating system's lock, or, where it has none, one that is held as long as its file exists.

    The first leaves its file behind, which to the second would be a lock that nobody ever frees: so they
    have different names.
    """
    kind = FileLock if _has_locks(path) else SoftFileLock
    return kind(path.with_name(f".{path.name}.{'soft-lock' if issubclass(kind, SoftFileLock) else 'lock'}"))


def _has_locks(path: Path) -> bool:
    """Whether the operating system locks files in this folder; some network folders do not."""
    if fcntl is None:
        return os.name == "nt"
    with open(path.with_name(f".{path.name}.lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (ENOSYS, ENOLCK, EOPNOTSUPP)
    return True


def read(path: Path, writable: bool = True) -> Any:
    """What the JSON file holds, None where there is none. A damaged file is set aside first, with a warning.

    Bytes that are no UTF-8 come as lone surrogates, and numbers of thousands of digits as infinite: a check
    of the entry that holds one refuses it, and all others can be read.

    Args:
        path: of the file. Hold its lock, or a file that another notebook has just mended may be set aside.
        writable: what `locked` gave. False: a damaged file stays where it is.
    """
    try:
        text = path.read_text("utf-8-sig", errors="surrogateescape")
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 4000 else float(digits))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):  # no JSON, brackets without end
        if writable:
            set_aside(path)
        else:
            warnings.warn(
                f"{path.name} could not be read, and nothing can be written beside it", stacklevel=2
            )
        return None


def write(path: Path, content: object) -> None:
    """Write JSON; the old file stands until the new one is complete.

    Args:
        path: of the file. Hold its lock.
        content: what JSON can hold.

    Raises:
        ValueError: a number that is not finite, or a text that is no Unicode.
        TypeError: something else that JSON cannot hold.
        OSError: the disk refuses.
    """
    write_atomic(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def set_aside(path: Path) -> Path:
    """Rename a damaged file to a name that is free, tell the reader, and return the new path.

    Args:
        path: of the file. Hold its lock.
    """
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    warnings.warn(
        f"{path.name} could not be read and is kept as {aside.name}; a new one is begun", stacklevel=2
    )
    return aside
