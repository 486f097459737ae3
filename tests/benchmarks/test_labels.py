"""What labels cost: a small folder, and the arithmetic of whole data sets."""

import made_voc
import numpy as np
import pytest

from lecturekit.benchmarks import labels

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path):
    """Four pictures of VOC's usual size, lying or standing, and one of another."""
    root = made_voc.empty(tmp_path / "voc", train=map(str, range(5)))
    for k, size in enumerate([(375, 500), (500, 375), (300, 500), (375, 500), (375, 500)]):
        image = np.full((*size, 3), (40 * k, 90, 120), np.uint8)
        made_voc.add(root, str(k), image, [("bird", (49, 59, 200, 250))])
    return root


def test_core_hours_are_seconds_times_pictures():
    assert labels.core_hours(0.5, 7200) == 1.0


def test_pictures_of_the_usual_size_are_taken(folder):
    found = labels._annotations(labels.VOC(folder), 4)
    assert [image.shape[:2] for image in found.images] == [(375, 500), (500, 375), (375, 500), (375, 500)]


def test_the_table_has_every_label_maker(folder, monkeypatch):
    monkeypatch.setattr(labels, "MAKERS", ("naive", "box_inner"))
    monkeypatch.setattr(labels, "one_thread", lambda: None)  # this process goes on
    text = labels.run(folder, quick=True)
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[1].strip() for row in rows] == ["Naive", "Box^i", labels.CRF]
    for row in rows:
        seconds, voc, coco, million = (float(cell.replace(",", "")) for cell in row[2:6])
        assert voc <= coco <= million
        assert million == pytest.approx(seconds * 1e6 / 3600, abs=0.2)


def test_a_speed_up_is_that_of_the_same_parts(monkeypatch, tmp_path):
    def here(function, tasks, workers):
        for k, task in enumerate(tasks):
            yield (1 + k % workers, float(len(task.numbers))), None

    monkeypatch.setattr(labels, "mapped", here)
    found = labels._speed_up(tmp_path, parts=6, size=8)
    assert (found["busiest_1"], found["busiest_2"], found["speed_up_busiest"]) == (48, 24, 2)
