"""The warm-up of notebook 00: one exercise and one quiz, to see how they work."""

from __future__ import annotations

import math

from lecturekit.exercises import Exercise, Mistake
from lecturekit.exercises.quiz import Option, Question, Quiz


def _labels_in(hours, seconds_per_label):
    return int(hours * 3600 // seconds_per_label)


labels_in = Exercise(
    name="labels_in",
    title="How many labels does a day buy?",
    difficulty=1,
    minutes=3,
    why=(
        "The whole course is about one trade: the more a label says, the more seconds it takes. "
        "You will make this calculation again at the end, with a budget of your own."
    ),
    task=(
        "Write `labels_in(hours, seconds_per_label)`: the number of labels that are finished within `hours` "
        "of work, a whole number, when each takes `seconds_per_label` seconds."
    ),
    stub='''
def labels_in(hours, seconds_per_label):
    """Labels finished in `hours` hours of work at `seconds_per_label` seconds each, a whole number."""
    ...  # your code
''',
    reference=_labels_in,
    cases=lambda: [(1, 20), (8, 5400), (0.5, 7), (10, 79.2), (1, 8000)],
    hints=(
        "Bring both numbers to the same unit first.",
        "Turn the hours into seconds, divide by the seconds of one label, and drop what is only begun.",
        "`return int(hours * ____ // ____)`",
    ),
    mistakes=[
        Mistake(
            "hours_as_seconds",
            lambda hours, seconds_per_label: int(hours // seconds_per_label),
            "You divide hours by seconds. An hour has 3600 seconds: convert before you divide.",
        ),
        Mistake(
            "hours_as_minutes",
            lambda hours, seconds_per_label: int(hours * 60 // seconds_per_label),
            "You turn the hours into minutes, but a label is timed in seconds: the factor is 3600.",
        ),
        Mistake(
            "unfinished_labels",
            lambda hours, seconds_per_label: hours * 3600 / seconds_per_label,
            "Close: you also count the part of a label that is only begun. Keep whole labels: `//` or `int`.",
        ),
        Mistake(
            "rounded_up",
            lambda hours, seconds_per_label: math.ceil(hours * 3600 / seconds_per_label),
            "You round up, and so count a label that is not finished when the time is over. Round down.",
        ),
        Mistake(
            "upside_down",
            lambda hours, seconds_per_label: int(seconds_per_label // (hours * 3600)),
            "Your fraction is upside down: time at hand divided by time for one label.",
        ),
    ],
)

warm_up = Quiz(
    "warm_up",
    [
        Question(
            "What makes supervision weak in this course?",
            [
                Option(
                    "There are few labelled pictures",
                    False,
                    "Few labels make learning harder, but they can be as strong as they like. Weak is about "
                    "what a label says, not about how many there are.",
                ),
                Option(
                    "Some labels are wrong",
                    False,
                    "Wrong labels are noise. They turn up later in the course, when boxes stand in for "
                    "outlines, but a perfectly right label can still be weak.",
                ),
                Option(
                    "The labels say less than the answer that is wanted",
                    True,
                    "A class name for the picture where a box is wanted, a box where pixels are wanted: "
                    "the rest has to come from priors.",
                ),
            ],
        ),
        Question(
            "You hold a mask for every object. Which of these can you make from the masks without "
            "looking at the pictures again?",
            [
                Option("The boxes", True, "The smallest box round a mask is its box."),
                Option("The class names of each picture", True, "They are the classes that the masks bear."),
                Option(
                    "The outlines of the objects' parts, a cat's ears or a rocket's nose",
                    False,
                    "That asks for more than the masks say: a step towards the stronger label, which is the "
                    "hard direction.",
                ),
            ],
            multiple=True,
        ),
    ],
)
