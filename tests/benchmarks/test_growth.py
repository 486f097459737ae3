"""How cost grows: exponents of known laws, and a process of its own for each figure."""

from pathlib import Path

import numpy as np
import pytest
from support import printed

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
import sys
import numpy as np
sys.path[:0] = sys.argv[1:]
from test_growth import megabytes
from lecturekit.benchmarks.growth import measured
held = np.ones(20_000_000)  # 160 MB here, of which the work must know nothing
print(*measured(megabytes, 40))
"""


def megabytes(n):
    return lambda: np.ones(n * 125_000).sum()


def test_memory_is_that_of_the_work_alone():
    # In a process of its own: what earlier tests have freed could be used again, and would not count.
    seconds, peak = printed(MEMORY, *map(str, Path(__file__).parents[:2])).split()
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


def test_a_run_that_is_broken_off_goes_on_with_the_case_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(growth._results, "FOLDER", tmp_path)
    monkeypatch.setattr(growth, "one_thread", lambda: None)
    made = []

    def measured(prepare, n):
        if len(made) == 40:
            raise KeyboardInterrupt
        made.append(prepare)
        return n / 1e3 + 2, float(n)

    monkeypatch.setattr(growth, "measured", measured)
    with pytest.raises(KeyboardInterrupt):
        growth.run()
    whole = 40 // (DOUBLINGS + 1)  # cases
    del made[:]
    monkeypatch.setattr(growth, "measured", lambda prepare, n: (made.append(prepare), (n / 1e3 + 2, 1.0))[1])
    text = growth.run()
    assert len(made) == (len(CASES) - whole) * (DOUBLINGS + 1)
    assert all(f"| {name} |" in text for name in CASES)
    assert [row["case"] for row in growth._results.load("growth")["rows"]] == list(CASES)
    assert not (tmp_path / "bench" / "growth.json").exists()
    monkeypatch.setattr(growth._results, "commit", lambda: "another")
    del made[:]
    growth.run()
    assert len(made) == len(CASES) * (DOUBLINGS + 1)


@pytest.mark.parametrize("name", ["COCO out and in, points of a polygon", "annotator's file, one more label"])
def test_the_cheap_cases_do_their_work(name):
    _, first, prepare = CASES[name]
    assert prepare(max(3, first // 10))() is not None
