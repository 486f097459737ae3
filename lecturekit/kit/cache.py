"""Results kept on disk under a key that says what they are of. What cannot be trusted is made anew.

A file of arrays carries its key and a checksum of everything in it. Damage of any kind, a file of another
origin or of another key: `read` says so in a warning and gives None, as if the file were not there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .storage import data_dir, write_atomic

_CHECK = "_check"
#: Names a folder laid out like the data folder, filled by a teacher, which is only read.
SHARED = "LECTUREKIT_SHARED_CACHE"


def places(file: Path) -> list[Path]:
    """Where a file of the data folder may lie: in the shared folder, if one is named, then at its own place.

    Args:
        file: in the data folder.
    """
    shared = os.environ.get(SHARED)
    if not shared or not file.is_relative_to(home := data_dir()):
        return [file]
    return [Path(shared).expanduser().absolute() / file.relative_to(home), file]


def content_key(*things: object) -> str:
    """32 hexadecimal digits that are the same for the same contents.

    Args:
        things: arrays, numbers, texts, None; dataclasses, lists, tuples and dictionaries of such.

    Example:
        >>> content_key(1, np.zeros(3)) == content_key(1, np.zeros(3))
        True
        >>> content_key(1, np.zeros(3)) == content_key(1, np.zeros(3, "f4"))
        False
    """
    digest = hashlib.sha256()
    _add(digest.update, list(things))
    return digest.hexdigest()[:32]


def _add(update: Callable[[bytes], None], thing: object) -> None:
    # kinds and lengths go in as well: [1, 2], 3 is not 1, [2, 3]
    if isinstance(thing, np.ndarray):
        update(f"{thing.dtype.str} {thing.shape}".encode())
        update(np.ascontiguousarray(thing).tobytes())
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        update(type(thing).__name__.encode())
        _add(update, {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)})
    elif isinstance(thing, dict):
        _add(update, [item for pair in thing.items() for item in pair])
    elif isinstance(thing, list | tuple):
        update(f"[{len(thing)}".encode())
        for item in thing:
            _add(update, item)
    else:
        update(f"{thing!r},".encode())


def write(file: Path, key: str, **arrays: ArrayLike) -> None:
    """Keep named arrays in a compressed ``.npz``, with their key and a checksum.

    Args:
        file: written beside, then renamed; its folder is made.
        key: what the arrays are of; `read` asks for it again.
        arrays: by name.

    Raises:
        OSError: the disk refuses; nothing is left behind.
    """
    content = {name: np.asarray(array) for name, array in arrays.items()}
    buffer = io.BytesIO()
    check = {_CHECK: np.array(content_key(key, content))}
    np.savez_compressed(buffer, allow_pickle=False, **content, **check)
    write_atomic(file, buffer.getvalue())


def read(file: Path, key: str) -> dict[str, NDArray] | None:
    """The arrays that `write` kept under this key, first from the shared folder (:func:`places`).

    Args:
        file: what was written.
        key: what the arrays must be of.

    Returns:
        The arrays by name; None where there is no file, and, with a warning, where it is damaged.
    """
    found = (_read(place, key) for place in places(file))
    return next((arrays for arrays in found if arrays is not None), None)


def _read(file: Path, key: str) -> dict[str, NDArray] | None:
    if not os.path.isfile(file):  # nor where the shared folder may not be entered
        return None
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = dict(content)
        if str(arrays.pop(_CHECK)) == content_key(key, arrays):
            return arrays
    except Exception:  # zip archives meet damage with errors of many kinds
        pass
    return damaged(file)


def damaged(file: Path) -> None:
    """Warn that a file is made anew."""
    warnings.warn(f"{file.name} is damaged or of another origin; it is made anew", stacklevel=5)


def checksum(stream: BinaryIO) -> str:
    """Of all bytes of an open file, from its beginning, 32 hexadecimal digits."""
    digest = hashlib.sha256()
    stream.seek(0)
    while part := stream.read(1 << 20):
        digest.update(part)
    return digest.hexdigest()[:32]


def source_key(*folders: str | os.PathLike[str]) -> str:
    """Of the Python files in some folders: what they compute is kept until one of them changes."""
    files = sorted(path for folder in folders for path in Path(folder).glob("*.py"))
    return content_key([path.read_bytes() for path in files])
