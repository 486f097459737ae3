"""What a process took is its own, not that of the one that started it."""

from support import printed

from lecturekit.kit.usage import MEASURE


def test_the_memory_of_the_parent_does_not_count():
    held = bytearray(700_000_000)
    held[::4096] = b"1" * len(held[::4096])  # really taken
    word, seconds, peak = printed(MEASURE).split()
    assert word == "measured"
    assert float(seconds) > 0
    assert 3 < float(peak) < 300
