"""Exercises made for the tests of the machinery, and what a notebook would define."""

import numpy as np

from lecturekit.exercises import Exercise, Mistake


def defined(source, name, **names):
    """What running `source` gives `name`."""
    exec(source, names)
    return names[name]


def outer(a, b):
    """All products of the entries of `a` and `b`."""
    # rows are of a, columns of b
    return a[:, None] * b


def make(**changes):
    """An exercise about NumPy arrays, for the tests."""
    fields = {
        "name": "outer",
        "title": "Outer product",
        "difficulty": 2,
        "minutes": 4,
        "why": "It is the product that a linear layer's gradient is made of.",
        "task": "Return all products.",
        "stub": '\n    def outer(a, b):\n        """All products."""\n        ...  # your code\n',
        "reference": outer,
        "cases": lambda: [(np.array([1.0, 2.0]), np.array([3.0, 4.0, 5.0])), (np.ones(3), np.arange(2.0))],
        "hints": ("Shapes?", "Broadcast.", "`a[:, ____] * b`"),
        "mistakes": [
            Mistake("transposed", lambda a, b: b[:, None] * a, "Rows and columns are swapped."),
            Mistake("elementwise", lambda a, b: a * b, "That needs arrays of one length."),
            Mistake("inner", lambda a, b: a @ b, "That is the inner product, a single number."),
        ],
    }
    return Exercise(**(fields | changes))


def make_value(**changes):
    """An exercise that asks for a value."""
    fields = {
        "name": "answer",
        "stub": "answer = ...  # your number",
        "reference": 42,
        "cases": None,
        "mistakes": [
            Mistake("half", 21, "That is one half."),
            Mistake("double", lambda: 84, "That is twice as much."),
            Mistake("minus", -42, "The sign is wrong."),
        ],
    }
    return make(**(fields | changes))
