"""How cost grows: exponents of known laws, and a process of its own for each figure."""

import subprocess
import sys

import numpy as np
import pytest

from lecturekit.benchmarks import growth
from lecturekit.benchmarks.growth import CASES, DOUBLINGS, exponent

SIZES = [2**k for k in range(4, 10)]


@pytest.mark.parametrize("power", [0.5, 1, 2, 3])
def test_the_exponent_of_a_power_is_the_power(power):
    assert exponent(SIZES, [3.0 * n**power for n in SIZES]) == pytest.approx(power)


def test_n_log_n_is_not_worse_than_n_log_n():
    sizes = [1000 * 2**k for k in range(6)]
    assert exponent(sizes, [n * np.log(n) for n in sizes]) < growth.MAX_EXPONENT
    assert exponent(sizes, [n**1.5 for n in sizes]) > growth.MAX_EXPONENT


def test_what_is_small_at_first_does_not_hide_what_grows():
    assert exponent(SIZES, [100.0 + (n / 8) ** 2 for n in SIZES]) > 1.2


def test_a_missing_figure_gives_no_exponent():
    assert exponent([1, 2], [1.0, None]) is None


MEMORY = """
import numpy as np
from lecturekit.benchmarks.growth import measured
held = np.ones(20_000_000)  # 160 MB here, of which the work must know nothing
print(*measured(lambda n: lambda: np.ones(n * 125_000).sum(), 40))  # 40 MB
"""


def test_memory_is_that_of_the_work_alone():
    # In a process of its own: what earlier tests have freed could be used again, and would not count.
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.split()
    assert float(seconds) > 0
    assert peak == "None" or 30 < float(peak) < 60


def test_every_case_runs_and_the_table_marks_what_grows_too_fast(monkeypatch):
    def square(prepare, n):
        return n**2 / 1e6, float(n)

    monkeypatch.setattr(growth, "measured", square)
    monkeypatch.setattr(growth, "one_thread", lambda: None)  # this process goes on
    text = growth.run(quick=True)
    assert text.count("2.00 **") == len(CASES)
    assert "grows faster than n log n" in text
    assert DOUBLINGS == 5


@pytest.mark.parametrize("name", ["COCO out and in, points of a polygon", "annotator's file, one more label"])
def test_the_cheap_cases_do_their_work(name):
    _, first, prepare = CASES[name]
    assert prepare(max(3, first // 10))() is not None
