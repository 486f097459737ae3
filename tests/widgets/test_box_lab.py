"""The box lab without a browser: what is drawn when, what is refused, and the still picture."""

import io

import numpy as np
import pytest
from PIL import Image
from support import still_of

from lecturekit.widgets.box_lab import BoxLab, Choice, Drawn, Slider, lab_still

CONTROLS = {
    "grey": Slider("Grey", 0, 255, 5, 100),
    "side": Choice("Side", ("left", "right"), "left"),
}


def draw(box, grey, side):
    """A box of one grey, on the left or on the right of nothing at all."""
    picture = np.zeros((40, 60, 3), np.uint8)
    x0, y0, x1, y1 = box
    picture[y0:y1, x0:x1] = grey
    return Drawn(picture, f"{grey} at {box}, {side}")


def lab(function=draw, **changes):
    return BoxLab(function, **{"controls": CONTROLS, "box": (10, 5, 30, 25), "size": (40, 60)} | changes)


def picture(shown):
    return np.array(Image.open(io.BytesIO(shown._picture)))


def test_the_first_picture_is_that_of_the_defaults():
    shown = lab()
    wanted = draw((10, 5, 30, 25), 100, "left")
    assert (picture(shown) == wanted.picture).all()
    assert shown.words == wanted.words
    assert shown._controls[0] == {
        "name": "grey", "label": "Grey", "low": 0, "high": 255, "step": 5, "value": 100
    }  # fmt: skip


def test_each_change_draws_once():
    calls = []

    def counted(box, **values):
        calls.append((box, values))
        return draw(box, **values)

    shown = lab(counted)
    shown.values = {"grey": 20, "side": "left"}
    shown.box = (11.4, 5, 31, 25)  # rounded to whole pixels
    assert [box for box, _ in calls] == [(10, 5, 30, 25), (10, 5, 30, 25), (11, 5, 31, 25)]
    assert (picture(shown) == draw((11, 5, 31, 25), 20, "left").picture).all()


def test_every_question_is_answered_also_one_that_changes_nothing():
    shown = lab()
    shown.set_state({"values": {"grey": 7, "side": "right"}, "_asked": 1})
    assert (shown._answered, shown.words) == (1, "7 at (10, 5, 30, 25), right")
    shown.set_state({"_asked": 2})
    assert shown._answered == 2


def test_a_question_is_answered_even_if_drawing_fails():
    def failing(box, grey, side):
        if grey == 0:
            raise RuntimeError("no grey")
        return draw(box, grey, side)

    shown = lab(failing)
    with pytest.raises(RuntimeError, match="no grey"):
        shown.set_state({"values": {"grey": 0, "side": "left"}, "_asked": 1})
    assert shown._answered == 1
    shown.set_state({"values": {"grey": 5, "side": "left"}, "_asked": 2})
    assert shown.words.startswith("5 at")


def test_a_lab_without_a_box():
    shown = BoxLab(
        lambda grey: Drawn(np.full((8, 8, 3), grey, np.uint8), str(grey)), {"grey": CONTROLS["grey"]}
    )
    shown.values = {"grey": 9}
    assert (picture(shown) == 9).all()
    with pytest.raises(ValueError, match="box must be left out"):
        shown.box = (0, 0, 4, 4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"values": {"grey": 300, "side": "left"}}, ValueError, r"grey must lie in 0..255, got 300"),
        ({"values": {"grey": "x", "side": "left"}}, TypeError, "grey must be a number"),
        ({"values": {"grey": True, "side": "left"}}, TypeError, "grey must be a number"),
        ({"values": {"grey": 1, "side": "top"}}, ValueError, "side must be one of left, right, got 'top'"),
        ({"values": {"grey": 1}}, ValueError, "values must be those of grey, side"),
        ({"box": (70, 0, 80, 10)}, ValueError, "box must hold pixels"),
        ({"box": (float("nan"), 0, 8, 8)}, ValueError, "boxes must be finite"),
        ({"box": (1, 2, 3)}, ValueError, "boxes must have shape"),
    ],
)
def test_bad_states_are_named_and_leave_the_lab_as_it_was(change, error, words):
    shown = lab()
    before = shown.words
    ((name, value),) = change.items()
    with pytest.raises(error, match=words):
        setattr(shown, name, value)
    assert shown.words == before
    assert shown.box == [10, 5, 30, 25]


def test_box_and_size_belong_together():
    with pytest.raises(ValueError, match="box and size must be given together"):
        lab(size=None)


def test_bundle_holds_the_live_view_and_a_still_with_words():
    data, _ = lab()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert '<img alt="100 at (10, 5, 30, 25), left" ' in data["text/html"]
    still = still_of(data)
    assert min(still.size) > 100
    assert lab_still(draw((1, 1, 9, 9), 5, "left"), "Grey 5") != lab_still(
        draw((1, 1, 9, 9), 90, "left"), "Grey 5"
    )
