"""The warm-up of notebook 00: one exercise and one quiz, to see how they work."""

from __future__ import annotations

import math

from lecturekit.exercises import Chapter

chapter = Chapter(__name__)


def _labels_in(hours, seconds_per_label):
    return int(hours * 3600 // seconds_per_label)


labels_in = chapter.exercise(
    "labels_in",
    _labels_in,
    cases=lambda: [(1, 20), (8, 5400), (0.5, 7), (10, 79.2), (1, 8000), (1000, 20)],
    mistakes={
        "hours_as_seconds": lambda hours, seconds_per_label: int(hours // seconds_per_label),
        "hours_as_minutes": lambda hours, seconds_per_label: int(hours * 60 // seconds_per_label),
        "unfinished_labels": lambda hours, seconds_per_label: hours * 3600 / seconds_per_label,
        "rounded_up": lambda hours, seconds_per_label: math.ceil(hours * 3600 / seconds_per_label),
        "upside_down": lambda hours, seconds_per_label: int(seconds_per_label // (hours * 3600)),
    },
)

warm_up = chapter.quiz("warm_up")
