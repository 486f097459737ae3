"""The kernel's side of a bar whose buttons ask for another annotator (``js/asking.js``)."""

from __future__ import annotations

from collections.abc import Callable

import anywidget
import traitlets as t

from lecturekit.widgets.annotator import Annotator

#: The class of the box round bar and annotator.
AROUND = "lk-around"


class AskingBar(anywidget.AnyWidget):
    """Buttons that ask, the number of the last answer, and which annotator is in place.

    The browser lets nobody draw between a question and its answer, so every question is answered, also where
    nothing changes or something fails.
    """

    prompt = t.Unicode().tag(sync=True)
    status = t.Unicode().tag(sync=True)
    _may = t.List().tag(sync=True)
    _asked = t.List([0, ""]).tag(sync=True)
    _answered = t.Int(0).tag(sync=True)
    _shows = t.Unicode().tag(sync=True)
    _failed = t.Unicode().tag(sync=True)
    _working = t.Unicode().tag(sync=True)  # what the kernel is doing, where an answer takes a while

    def answers_by(self, do: Callable[[str], None]) -> None:
        """Answer each question by `do`, which takes the verb."""

        def answer(change: dict) -> None:
            number, verb = change["new"]
            self._failed = ""
            try:
                do(verb)
            except Exception as error:
                self._failed = f"That did not work: {error}"
                raise
            finally:
                self._working = ""
                self._answered = number

        self.observe(answer, "_asked")

    def shows(self, annotator: Annotator | None) -> None:
        """Tell the browser which annotator stands in the place of the one before."""
        if annotator is not None:
            annotator._name = annotator.model_id
        self._shows = "" if annotator is None else annotator._name
