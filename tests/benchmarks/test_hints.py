"""The table of hints: its arithmetic on rows made up, and the parts that run on a small folder."""

import numpy as np
import pytest
import torch

from lecturekit.benchmarks import _results, clips, hints, photographs
from lecturekit.learning.features import Features
from lecturekit.learning.features import Pictures as Frames

pytestmark = pytest.mark.usefixtures("one_thread")


def _judge(count: int = 4) -> photographs.Pictures:
    """Grids in which channel 1 is high on a square of class 3."""
    values = np.zeros((count, 2, 4, 4), np.float16)
    values[:, 1, 1:3, 1:3] = 1
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 3
    images = [np.zeros((32, 32, 3), np.uint8)] * count
    grid = Features(values, Frames(images, 32), np.zeros(2, "f4"), np.eye(2, dtype="f4"), "test")
    box, c = np.array([[4.0, 8.0, 24.0, 24.0]]), np.array([3])
    return photographs.Pictures(grid, images, [mask] * count, [box] * count, [c] * count)


def test_image_labels_come_from_the_masks():
    present = _judge(2).present
    assert present.shape == (2, 21)
    assert present.nonzero()[:, 1].tolist() == [0, 3, 0, 3]


def test_a_whole_box_scores_what_it_holds_of_the_object():
    row = hints.box_row(_judge(), "box", None)
    assert row["iou"] == pytest.approx(16 * 16 / (20 * 16))
    assert (row["boxes"], row["at_0.5"], row["at_0.75"]) == (4, 1.0, 1.0)


def test_maps_are_asked_for_the_classes_that_are_there():
    class Points(torch.nn.Module):
        def __init__(self, channel: int):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.channel = channel

        def forward(self, x):
            return x[:, self.channel, None].expand(-1, 21, -1, -1), None

    assert hints.pointed(Points(1), _judge()).tolist() == [True] * 4
    flat = hints.pointed(Points(0), _judge())  # a flat map points nowhere
    assert flat.tolist() == [False] * 4


def test_features_answer_at_the_size_of_other_labels():
    grid = _judge().features
    small = photographs.at_size(grid, [np.zeros((16, 12, 3), np.uint8)] * 4)
    assert small.pictures.sizes.tolist() == [[16, 12]] * 4
    assert (small.cells == grid.cells).all()
    assert grid.pictures.sizes.tolist() == [[32, 32]] * 4


def test_the_table_takes_means_over_seeds_and_shares_of_full():
    rows = [
        {"table": "students", "name": name, "label": "mask", "seconds": 239.7, "iou": iou, "cpu": 5.0}
        for name, iou in (("full supervision", 0.5), ("full supervision", 0.6), ("points", 0.44))
    ]
    lines = hints.table(rows).splitlines()
    assert "| full supervision | mask, 239.7 | 55.0 | 7.1 | 100.0 % | 5 |" in lines
    assert "| points | mask, 239.7 | 44.0 |  | 80.0 % | 5 |" in lines


def test_carried_masks_beat_copied_ones():
    rows = {row["name"]: row for row in clips.rows(1)}
    assert rows["hops of 3 frames"]["4"] > rows["copied"]["4"]
    assert rows["the same, boundaries by CRF"]["8"] > rows["hops of 1, 2 and 3 together"]["8"]
    assert rows["both, unsure ignored"]["known"] < 1


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    """Each part of a seed is made once; the second run only prints. Other settings are another run."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(_results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(hints, "pictures", lambda data, counts: (_judge(), _judge(2)))
    made = []

    def parts(bench):
        def rows(name):
            made.append((name, bench.seed))
            if made[-1] == ("second", 1) and len(made) == 5:
                raise KeyboardInterrupt
            yield {"table": "students", "name": "full supervision", "label": "mask"} | {
                "seconds": 1.0,
                "iou": np.float64(0.5),
                "cpu": 1.0,
            }

        return {name: lambda name=name: rows(name) for name in ("first", "second")}

    monkeypatch.setattr(hints, "parts", parts)
    monkeypatch.setattr(hints, "cue_rows", lambda *_: made.append("cues") or [])
    with pytest.raises(KeyboardInterrupt):
        hints.run("there", seeds=2)
    assert not list((tmp_path / "results").glob("*"))
    text = hints.run("there", seeds=2)
    assert made == ["cues", *[(n, s) for s in (0, 1) for n in ("first", "second")], ("second", 1)]
    assert hints.run("there", seeds=2) == text
    assert len(made) == 6
    assert [row["seed"] for row in _results.load("hints")["rows"]] == [0, 0, 1, 1]
    hints.run("there", seeds=2, quick=True)
    assert len(made) == 9


def test_background_seeds_lie_where_both_cues_are_low(monkeypatch):
    """By contrast alone it is the first cell, by the maps the last one: together they take the third."""
    monkeypatch.setattr(hints, "SEEDS", {"share": 0.5, "background_share": 0.2})
    maps = torch.zeros(4, 1, 6)
    maps[2, 0] = torch.tensor([9.0, 8.0, 0.1, 0.3, 0.2, 0.0])
    maps[3, 0] = torch.tensor([0.0, 0.0, 7.0, 7.0, 7.0, 7.0])  # a class that is not there
    border = np.array([[0.0, 0.9, 0.1, 0.8, 0.6, 0.7]], np.float32)
    seeds = hints.sec_seeds(maps, torch.tensor([True, False, True, False]), border)
    assert seeds.tolist() == [[2, 2, 0, 255, 255, 255]]
    nothing = hints.sec_seeds(maps, torch.tensor([True, False, False, False]), border)
    assert nothing.tolist() == [[0, 255, 255, 255, 255, 255]]  # the border contrast is all that is left


def test_proposals_vote_for_what_stands_out():
    image = np.full((40, 48, 3), 60, np.uint8)
    image[10:30, 12:36] = 220
    votes = hints._votes(image)
    assert votes.shape == (40, 48)
    assert votes[15:25, 16:32].mean() > votes[:4].mean()
