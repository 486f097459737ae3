"""Predict first: guesses of three kinds, their scores, and what is kept of them."""

import json

import numpy as np
import pytest
import torch
import traitlets

from lecturekit.exercises import class_activation_maps as chapter_module
from lecturekit.exercises import my_course
from lecturekit.exercises._prediction import Axes, Prediction, scored

chapter = chapter_module.chapter
GREY = np.full((40, 60, 3), 128, np.uint8)
CURVE = ([1, 2, 3], 0.0, 0.5, "round", "mean IoU")
MAP = torch.tensor([[0.0, 3.0], [1.0, 2.0]])


pytestmark = pytest.mark.usefixtures("own_folder")


def click():
    return chapter.predict("where", "Where is it highest?", image=GREY)


def curve():
    return chapter.predict("curve", "How does it go on?", curve=CURVE)


def choice():
    return chapter.predict("which", "Which is better?", options=["this", "that"])


@pytest.mark.parametrize(("make", "outcome"), [(click, MAP), (curve, [0.1, 0.2, 0.3]), (choice, "that")])
def test_nothing_waits_for_a_guess(make, outcome, capsys):
    widget = make()
    widget.reveal(outcome)
    assert "No prediction" in capsys.readouterr().out
    assert (widget.outcome, scored()) == ([], [])


@pytest.mark.parametrize(
    ("make", "guess", "outcome", "points", "drawn"),
    [
        (click, [0.9, 0.1], MAP, 0.875, [0.75, 0.25]),
        (click, [0.1, 0.1], MAP, 0.125, [0.75, 0.25]),
        (curve, [0.1, 0.2, 0.3], [0.1, 0.2, 0.4], 1 - 0.1 / 3 / 0.5, [0.1, 0.2, 0.4]),
        (choice, [1], "that", 1.0, [1]),
        (choice, [0], "that", 0.0, [1]),
    ],
)
def test_a_guess_is_scored_kept_and_drawn(make, guess, outcome, points, drawn, capsys):
    widget = make()
    widget.guess = guess
    widget.reveal(outcome)
    assert widget.outcome == pytest.approx(drawn)
    assert scored("05")[0]["points"] == pytest.approx(points)
    assert "Your prediction" in capsys.readouterr().out
    again = make()  # as after a restart of the kernel
    assert again.guess == guess
    assert again.outcome == []


def test_you_against_the_network():
    assert "No prediction" in str(chapter.you_against_the_network())
    for widget, guess, outcome in ((click(), [0.9, 0.1], MAP), (choice(), [1], "that")):
        widget.guess = guess
        widget.reveal(outcome)
    table = str(chapter.you_against_the_network())
    assert "| Where is it highest? | 88% | 50% |" in table
    assert "| **mean** | **94%** | 50% |" in table
    assert "better than chance" in table
    assert my_course().predictions == (pytest.approx(0.9375), 0.5, 2)


@pytest.mark.parametrize("guess", [[2.0, 0.5], [0.5], ["a", "b"], [float("nan"), 0.1], [True, False]])
def test_a_guess_that_cannot_be_one_is_refused(guess):
    with pytest.raises((ValueError, traitlets.TraitError)):
        click().guess = guess


@pytest.mark.parametrize("kept", [3, {"guess": "x"}, {"guess": [7, 7]}, {"points": 0.5}])
def test_damaged_memories_are_no_obstacle(own_folder, kept):
    (own_folder / "exercises.json").write_text(json.dumps({"predictions": {"05/where": kept}}), "utf-8")
    assert click().guess == []
    assert scored() == []


@pytest.mark.parametrize(
    ("make", "outcome", "words"),
    [(click, [1.0], "map"), (curve, [1.0], "3 heights"), (choice, "other", "this, that")],
)
def test_an_outcome_that_does_not_belong_is_named(make, outcome, words):
    widget = make()
    widget.guess = {"click": [0.5, 0.5], "curve": [0.1] * 3, "choice": [0]}[widget.kind]
    with pytest.raises(ValueError, match=words):
        widget.reveal(outcome)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"image": GREY, "options": ["a", "b"]},
        {"options": ["a"]},
        {"axes": Axes([1], 0, 1)},
        {"axes": Axes([1, 2], 1, 1)},
    ],
)
def test_a_question_needs_one_kind_of_answer_and_a_choice(given):
    with pytest.raises(ValueError, match=r"given|choice|high"):
        Prediction("x", "?", **given)


@pytest.mark.parametrize("make", [click, curve, choice])
def test_a_page_without_a_kernel_can_be_read(make):
    data, _ = make()._repr_mimebundle_()
    assert make().question in data["text/html"]
    assert "Run this cell to commit" in data["text/html"]
    assert make().question in data["text/plain"]
