"""The scribble lab: every stroke asks for one answer; what goes wrong is said on the page."""

import io

import numpy as np
import pytest
from PIL import Image

from lecturekit.labs.interactive import stroke
from lecturekit.widgets.scribble_lab import ScribbleLab, answer_overlay

IMAGE = np.full((40, 60, 3), (90, 140, 60), np.uint8)  # smooth: WebP loses little of it
LEFT, RIGHT = stroke(1, [(5, 20), (5, 30)], 4), stroke(2, [(50, 20), (50, 30)], 4)


pytestmark = pytest.mark.usefixtures("own_folder")


class Learner:
    """Says class 1 on the right half, and remembers what it was taught."""

    def __init__(self):
        self.taught = []

    def __call__(self, strokes):
        self.taught.append(strokes.copy())
        answer = np.zeros(strokes.shape, np.uint8)
        answer[:, 30:] = 1
        return answer


def picture(lab):
    return np.asarray(Image.open(io.BytesIO(lab.picture.value)).convert("RGB"))


def test_it_learns_from_the_first_strokes_and_shows_the_answer():
    learn = Learner()
    lab = ScribbleLab(IMAGE, ["ground", "thing"], learn, key="a", strokes=[LEFT, RIGHT])
    (taught,) = learn.taught
    assert taught[25, 5] == 0
    assert taught[25, 50] == 1
    assert taught[0, 0] == 255
    assert lab.answer is not None
    assert lab.answer.mean() == 0.5
    assert np.abs(picture(lab).astype(int) - answer_overlay(IMAGE, lab.answer)).mean() < 6
    assert "1 on ground, 1 on thing" in lab.said.value
    assert "thing 50%" in lab.said.value


def test_every_new_stroke_asks_for_a_new_answer():
    learn = Learner()
    lab = ScribbleLab(IMAGE, ["ground", "thing"], learn, key="b", strokes=[LEFT, RIGHT])
    lab.annotator.labels = [*lab.annotator.labels, stroke(1, [(50, 25), (52, 25)], 4)]
    assert len(learn.taught) == 2
    assert learn.taught[1][25, 50] == 0  # the later stroke counts
    assert "2 on ground" in lab.said.value


@pytest.mark.parametrize("strokes", [[], [LEFT]])
def test_with_fewer_than_two_classes_it_asks_for_strokes(strokes):
    learn = Learner()
    lab = ScribbleLab(IMAGE, ["ground", "thing"], learn, key="c", strokes=strokes)
    assert learn.taught == []
    assert lab.answer is None
    assert "two classes" in lab.said.value
    assert np.abs(picture(lab).astype(int) - IMAGE).mean() < 6


def test_what_the_learner_raises_stands_on_the_page_and_the_lab_goes_on():
    def fails(strokes):
        raise RuntimeError("<no> luck")

    lab = ScribbleLab(IMAGE, ["ground", "thing"], fails, key="d", strokes=[LEFT, RIGHT])
    assert "RuntimeError: &lt;no&gt; luck" in lab.said.value
    assert "RuntimeError" in repr(lab)


def test_strokes_are_kept():
    made = ScribbleLab(IMAGE, ["ground", "thing"], Learner(), key="e", strokes=[LEFT, RIGHT])
    made.annotator.labels = [*made.annotator.labels, stroke(2, [(30, 5), (30, 9)], 4)]
    again = ScribbleLab(IMAGE, ["ground", "thing"], Learner(), key="e", strokes=[LEFT, RIGHT])
    assert len(again.annotator.labels) == 3


def test_without_a_kernel_there_is_a_picture_with_words():
    lab = ScribbleLab(IMAGE, ["ground", "thing"], Learner(), key="f", strokes=[LEFT, RIGHT])
    data, _ = lab._repr_mimebundle_()
    assert data["text/html"].count("<img alt=") == 1
    assert "thing 50%" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "thing 50%" in data["text/plain"]


def test_colours_are_the_annotators():
    from matplotlib.colors import to_rgb

    from lecturekit.widgets.annotator import colour_of

    grey = np.full((20, 20, 3), 128, np.uint8)
    shown = answer_overlay(grey, np.full((20, 20), 1))[0, 0]
    wanted = 0.45 * 128 + 0.55 * 255 * np.array(to_rgb(colour_of(2)))
    assert np.abs(shown - wanted).max() <= 1
