"""Freed memory goes back to the system where glibc would keep it, and nothing happens elsewhere."""

import sys

import pytest
from support import printed

from lecturekit.kit import memory

#: Leaves many freed blocks below ones that are still used: glibc gives none of them back by itself.
LEAVE_HOLES = """
import sys
from lecturekit.kit import memory
small = [bytes(60_000) for _ in range(4000)]
small = small[::50]
def kept():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) / 1e3
before = kept()
memory.give_back()
print(before, kept())
"""


@pytest.mark.skipif(memory._malloc_trim() is None, reason="the C library has no malloc_trim")
def test_holes_go_back_to_the_system():
    before, after = map(float, printed(LEAVE_HOLES).split())
    assert before > 150
    assert after < before - 100


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_nothing_is_done_on_other_systems(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    memory._malloc_trim.cache_clear()
    try:
        assert memory._malloc_trim() is None
        memory.give_back()
    finally:
        memory._malloc_trim.cache_clear()
