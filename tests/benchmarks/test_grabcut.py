"""The benchmark of labels runs on a small folder in VOC's layout and puts right numbers into its table."""

import json

import made_voc
import numpy as np
import pytest

pytest.importorskip("higra", reason="higra has no wheels for this machine")

from lecturekit.benchmarks import _results
from lecturekit.benchmarks.grabcut import ESTIMATED, RULE, loosened, mask_makers, object_overlaps, run, shrunk
from lecturekit.datasets.voc import Picture
from lecturekit.labels.boxes import fill_boxes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two pictures of a disc of class 3; in the second the box is all of the object."""
    y, x = np.indices((60, 80))
    disc = (y - 30) ** 2 + (x - 40) ** 2 <= 225
    square = (abs(y - 30) < 15) & (abs(x - 40) < 15)
    root = made_voc.empty(tmp_path_factory.mktemp("voc"), train="ab")
    return made_voc.add_birds(root, {"a": disc, "b": square}, 10)


def test_table(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    table = run(folder, votes=4)
    saved = json.loads((tmp_path / "grabcut.json").read_text())
    lines = [line for line in table.splitlines() if line[:2] == "| "]
    first = [line.startswith("| method") for line in lines].index(True)
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines[:first]}
    assert {"Box", "GrabCut", "GrabCut+", "GrabCut+^i", "MCG", "M∩G+", *mask_makers()} <= set(rows)
    disc, square = 709, 29 * 29  # pixels of the objects; the disc's box is 31 x 31
    filled = [float(cell) for cell in rows["Box"][:3]]
    assert filled == [pytest.approx(100 * (disc + square) / (31 * 31 + square), abs=0.06), 100, 100]
    assert float(rows["GrabCut+"][0]) > filled[0] + 5
    assert float(rows["GrabCut, OpenCV"][5]) == 1
    assert "Relaxed cut, 2 boxes" in table
    objects = {(r["margin"], r["method"]): r for r in saved["rows"] if r["table"] == "objects"}
    assert objects[0, "Box"]["iou"] == pytest.approx((disc / 31**2 + 1) / 2)
    assert objects[0, "Box"]["objects"] == objects[0, "Box"]["pictures"] == 2
    assert objects[0.1, "Box"]["iou"] < objects[0.1, "GrabCut"]["iou"]
    assert objects[0, RULE]["better"] == objects[0, RULE]["worse"] == 0
    loose = {r["margin"]: r["estimate"] for r in saved["rows"] if r["table"] == "looseness"}
    assert loose[0] < loose[0.1] < loose[0.2]
    assert loose[0] < 0.02 < 0.1 < loose[0.2]
    assert objects[0.2, ESTIMATED]["iou"] > objects[0.2, "GrabCut+"]["iou"]
    labels = {r["method"]: r for r in saved["rows"] if r["table"] == "labels"}
    assert 100 * labels["Box"]["precision"] == pytest.approx(filled[0], abs=0.06)


def test_boxes_that_touch_their_class_and_slivers_are_no_objects():
    mask = np.zeros((60, 100), np.uint8)
    mask[10:40, 10:40] = mask[10:40, 30:60] = 5
    mask[10:40, 70:90] = 7
    mask[10:40, 70:75] = 255
    boxes = np.array(
        [(10, 10, 40, 40), (30, 10, 60, 40), (70, 10, 90, 40), (70, 10, 80, 40), (0, 44, 30, 60)]
    )
    picture = Picture(
        "p", np.zeros((60, 100, 3), np.uint8), mask, boxes.astype(float), np.array([5, 5, 7, 8, 9])
    )
    masks = [fill_boxes([box], [1], mask.shape) == 1 for box in boxes]
    np.testing.assert_allclose(object_overlaps(masks, picture), [1.0])
    masks[2] = masks[2] & (np.indices(mask.shape)[0] < 25)
    np.testing.assert_allclose(object_overlaps(masks, picture), [0.5])
    wider = loosened(picture, 0.1)
    assert wider.boxes[2].tolist() == [68, 7, 92, 43]


def test_a_shrunk_picture_keeps_its_proportions():
    picture = Picture(
        "p",
        np.zeros((100, 200, 3), np.uint8),
        np.ones((100, 200), np.uint8),
        np.array([[20.0, 10, 120, 90]]),
        np.array([1]),
    )
    small = shrunk(picture, 50)
    assert small.image.shape == (25, 50, 3)
    assert small.mask.shape == (25, 50)
    assert small.boxes.tolist() == [[5, 2.5, 30, 22.5]]
    assert shrunk(picture, 400).image.shape == picture.image.shape


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="VOC"):
        run(tmp_path)
