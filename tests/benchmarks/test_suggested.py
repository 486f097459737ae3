"""Suggestions against chance: what is paid, what is compared, and what the committed rows say."""

import numpy as np
import pytest

from lecturekit.benchmarks import _suggested as bench
from lecturekit.kit.results import load
from lecturekit.labels.costs import naming_seconds


def test_clicks_and_seconds_by_hand():
    boxes = [np.zeros((n, 4)) for n in (1, 3)]
    each = bench.costs(boxes, "boxes")
    assert each["clicks"].tolist() == [1, 3]
    assert each["seconds"].tolist() == [naming_seconds(20) + 7 * n for n in (1, 3)]


@pytest.mark.parametrize(("budget", "count"), [(0.5, 0), (4, 1), (6.9, 2), (7, 3), (100, 3)])
def test_pictures_are_labelled_in_their_turn_until_the_budget_is_spent(budget, count):
    turn, each = np.array([2, 0, 1]), np.array([2.0, 1.0, 4.0])
    assert bench.paid(turn, each, budget).tolist() == turn[:count].tolist()


def test_the_gain_is_paired_by_seeds():
    rows = []
    for seed, (named, lots) in enumerate([(0.5, (0.3, 0.5)), (0.3, (0.1, 0.3))]):
        about = {"role": "suggest", "name": "boxes", "seed": seed, "pictures": 20 + seed}
        rows.append(about | {"equal": "", "by": "start", "iou": 0.1})
        for equal in bench.EQUAL:
            rows += [about | {"equal": equal, "by": by, "iou": named} for by in ("coverage", "doubt")]
            rows += [about | {"equal": equal, "by": "chance", "iou": iou} for iou in lots]
    assert bench.gains(rows, "clicks", "coverage").tolist() == pytest.approx([0.1, 0.1])
    line = bench.suggestion_table(rows).splitlines()[2]
    assert line == "| boxes | clicks | coverage | 10.0 | 20.5 | 20.5 | 40.0 | 30.0 | +10.0 ± 0.0 | 2 of 2 |"


def test_suggestions_are_better_than_chance_at_equal_clicks_and_seconds():
    """What the help text and docs/project.md say, on the committed rows."""
    rows = [row for row in load("project")["rows"] if row["role"] == "suggest"]
    for kind in bench.TRIED:
        some = [row for row in rows if row["name"] == kind]
        assert len({row["seed"] for row in some}) >= 4
        for equal in bench.EQUAL:
            gain = bench.gains(some, equal, "coverage")
            assert gain.mean() > 2 * gain.std(ddof=1) / len(gain) ** 0.5
        shares = [row[row["equal"]] / row["budget"] for row in some if row["by"] in ("coverage", "chance")]
        assert 0.9 < min(shares) <= max(shares) <= 1
