"""Where the course keeps what a reader makes, and how it is written without ever losing the old version."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import platformdirs

#: The checkout this package runs from (its ``notebooks`` folder lies beside the package), or the folder of
#: an installed copy, which has no notebooks.
ROOT = Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """Folder for the reader's files: answers, annotations, ladder, caches. It exists.

    The first of these that can be written: the folder named by the environment variable ``LECTUREKIT_DATA``,
    ``data/`` of the checkout, the user's data folder (a read-only checkout or an installed package), a
    temporary folder (a machine without a home). A folder that is named, is there and cannot be written is
    taken all the same, with a warning: what it holds can be read.

    Raises:
        ValueError: ``LECTUREKIT_DATA`` names a folder that cannot be made.
    """
    named = os.environ.get("LECTUREKIT_DATA")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _writable(folder):
            if not folder.is_dir():
                raise ValueError(
                    f"LECTUREKIT_DATA is {named!r}, where nothing can be written; name another folder"
                )
            warnings.warn(f"in LECTUREKIT_DATA, {named!r}, nothing can be written, only read", stacklevel=2)
        return folder
    candidates = [Path(platformdirs.user_data_dir("lecturekit", appauthor=False))]
    if (ROOT / "notebooks").is_dir():
        candidates.insert(0, ROOT / "data")
    return next((c for c in candidates if _writable(c)), None) or _temporary()


def is_temporary(folder: Path) -> bool:
    """Whether `folder` is the last resort of `data_dir`, which goes when the machine tidies up."""
    return _temporary.cache_info().currsize > 0 and folder == _temporary()


@lru_cache
def _temporary() -> Path:
    return Path(tempfile.mkdtemp(prefix="lecturekit-"))


def _writable(folder: Path) -> bool:
    """Whether a file can be made in `folder`; tried, because permissions alone do not tell on Windows."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write `content` to `path`: the file is the old one or the new one, never half of one.

    Args:
        path: of the file; folders are made as needed.
        content: text, which is written as UTF-8, or bytes.

    Returns:
        `path`.

    Raises:
        TypeError: other content.
        OSError: the disk refuses; then the old file stands.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(Path(folder) / "new" / "notes.txt", "kept").read_text()
        'kept'
    """
    if not isinstance(content, str | bytes):
        raise TypeError(f"content must be str or bytes, got {type(content).__name__}")
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)
    return Path(path)


@contextmanager
def replacing(path: str | Path) -> Generator[BinaryIO]:
    """A new file to write bytes to, which takes the place of `path` once all is written.

    It lies beside `path`, reaches the disk, and is renamed over it. After an error it is removed and the old
    file stands. What writers left behind that were killed is removed from the folder first.

    Args:
        path: of the file; folders are made as needed.

    Yields:
        A binary file, open for writing and reading.

    Raises:
        OSError: the disk refuses.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "rows.npy"
        ...     with replacing(path) as file:
        ...         _ = file.write(b"1234")
        ...     path.read_bytes()
        b'1234'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    # The name tells who writes, so that `sweep` knows whether he lives. It stays short: names have a limit.
    beside = path.with_name(f".{path.name[:40]}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(beside, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove the temporary files of `replacing` whose writers are dead.

    A writer on this machine is dead when no process has its number. Of a writer on another machine (a shared
    folder) nothing is known, so its file counts as left behind only after a day.
    """
    for file in folder.glob(".*.part"):
        match = _PART.fullmatch(file.name)
        if not match:
            continue
        with suppress(OSError):  # another program sweeps, too
            if match["machine"] == _machine() and os.name != "nt":
                dead = not _runs(int(match["pid"]))
            else:
                dead = time.time() - file.stat().st_mtime > 86_400
            if dead:
                file.unlink()


_PART = re.compile(r"\..*\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d{1,9})-[0-9a-f]{8}\.part", re.DOTALL)


@lru_cache
def _machine() -> str:
    """A short digest of what process numbers count in: this machine, or a container's own count on it."""
    try:
        count = os.readlink("/proc/self/ns/pid")
    except OSError:
        count = ""
    return hashlib.sha256(f"{platform.node()} {count}".encode()).hexdigest()[:8]


def _runs(pid: int) -> bool:
    """Whether a process of this number runs; not for Windows, where asking would end it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _replace(source: Path, target: Path) -> None:
    """Rename over `target`; on Windows a virus scanner may hold it for a moment."""
    for pause in (0.01, 0.03, 0.1, 0.3):
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)
