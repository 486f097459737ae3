"""Self-transfer on solar cells: the arithmetic, on cells made up."""

import numpy as np
import pytest
import torch

from lecturekit.benchmarks import solar
from lecturekit.learning.features import Features, Pictures

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_area_counts_pairs():
    """Brute force over all pairs, with equal scores."""
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 4, 30).astype(float), rng.random(30) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[truth] for b in scores[~truth]]
    assert solar.auc(scores, truth) == pytest.approx(np.mean(pairs))
    assert np.isnan(solar.auc(scores, np.ones(30, bool)))


def test_a_peak_on_the_defect_hits():
    """Channel 1 is high in one corner of the defective cells: every localiser finds the corner."""
    defective = np.arange(24) % 2 == 1
    values = 0.3 * np.random.default_rng(0).normal(size=(24, 8, 6, 6))
    values[defective, 1, :2, :2] += 9
    frames = Pictures([np.zeros((300, 300, 3), np.uint8)] * 24, 48)
    mean, matrix = np.zeros(8, "f4"), np.eye(8, dtype="f4")
    grid = Features(values.astype(np.float16), frames, mean, matrix, "test")
    corner = np.zeros((300, 300), bool)
    corner[:100, :100] = True
    labels = torch.from_numpy(np.stack([np.ones(24, bool), defective], 1))
    some = solar.Cells(grid, grid, labels, defective, {1: corner, 3: ~corner})
    rows = list(solar.rows(some, 0))
    assert [row["name"] for row in rows] == list(solar.LOCALISERS)
    for row in rows:
        assert (row["hits"], row["marked"]) == (0.5, 2)
        assert row["auc"] > 0.9
        assert row["chance"] == pytest.approx(0.5)
