"""Memory that is free again goes back to the system, so that an open notebook does not keep its peak."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


def give_back() -> None:
    """Hand freed memory back to the system; takes some milliseconds and changes nothing else.

    On Linux, glibc keeps what large arrays and figures have left behind for later, although that may be a
    third of a kernel's memory. Elsewhere nothing is done: macOS and Windows take it back themselves.

    Example:
        >>> give_back()
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's function, where there is one: other C libraries for Linux have none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
