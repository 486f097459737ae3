"""Where the course keeps what a reader makes, and how it is written without ever losing the old version."""

from __future__ import annotations

import os
import secrets
import tempfile
from functools import lru_cache
from pathlib import Path

import platformdirs

#: The checkout this package runs from (its ``notebooks`` folder lies beside the package), or the folder of
#: an installed copy, which has no notebooks.
ROOT = Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """Folder for the reader's files: answers, annotations, ladder, caches. It exists and can be written.

    The first of these that can be written: the folder named by the environment variable ``LECTUREKIT_DATA``
    (an error if that one cannot be written), ``data/`` of the checkout, the user's data folder (a read-only
    checkout or an installed package), a temporary folder (a machine without a home).
    """
    named = os.environ.get("LECTUREKIT_DATA")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _writable(folder):
            raise ValueError(
                f"LECTUREKIT_DATA is {named!r}, where nothing can be written; name another folder"
            )
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
    """Write `content` (text as UTF-8) to `path`: the file is the old one or the new one, never half of one.

    The content goes to a file beside `path`, reaches the disk, and is renamed over it. Folders are made as
    needed. Raises ``TypeError`` for other content and ``OSError`` where the disk refuses, in which case the
    old file stands.
    """
    path = Path(path)
    if not isinstance(content, str | bytes):
        raise TypeError(f"content must be str or bytes, got {type(content).__name__}")
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return path
