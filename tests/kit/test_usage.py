"""What a process took is its own, not that of the one that started it."""

from pathlib import Path

import pytest
from support import printed

from lecturekit.kit.usage import MEASURE


def test_the_memory_of_the_parent_does_not_count():
    held = bytearray(700_000_000)
    held[::4096] = b"1" * len(held[::4096])  # really taken
    word, seconds, peak, _kept = printed(MEASURE).split()
    assert word == "measured"
    assert float(seconds) > 0
    assert 3 < float(peak) < 300


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc that tells it")
def test_what_was_given_back_is_not_kept():
    held = "held = bytearray(b'1') * 200_000_000"
    kept = [float(printed(code + MEASURE).split()[-1]) for code in (held, f"{held}\ndel held")]
    assert 190 < kept[0] < 260
    assert kept[1] < 60
