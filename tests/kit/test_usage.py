"""What a process took is its own, not that of the one that started it."""

import subprocess
import sys

from lecturekit.kit.usage import MEASURE


def test_the_memory_of_the_parent_does_not_count():
    held = bytearray(700_000_000)
    held[::4096] = b"1" * len(held[::4096])  # really taken
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    word, seconds, peak = told.stdout.split()
    assert word == "measured"
    assert float(seconds) > 0
    assert 3 < float(peak) < 300
