"""The box lab: a function from a state to a picture, with sliders, lists and a box to drag in front of it.

A `BoxLab` knows nothing of what it shows. It holds a function ``draw(**values)``, or ``draw(box, **values)``
for a picture with a box, that returns `Drawn`: a picture and a few words. Each gesture in the browser
(``box_lab.js``) asks the kernel for one more; setting ``lab.values`` or ``lab.box`` from Python does the
same. The still picture of the first state is stored beside the widget, for pages where no kernel runs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import anywidget
import numpy as np
import traitlets as t
from matplotlib import pyplot as plt

from lecturekit import plots
from lecturekit.kit.images import encoded, html_image
from lecturekit.kit.javascript import joined
from lecturekit.labels.boxes import clip_boxes
from lecturekit.widgets._still import JS, with_still


class Drawn(NamedTuple):
    """What the lab shows for one state."""

    picture: np.ndarray  #: uint8 RGB (H, W, 3), or RGBA where it has no ground
    words: str  #: what is to be seen, with its numbers: the read-out, and the text for who cannot see it


@dataclass(frozen=True)
class Slider:
    """A number of low, low + step, ... up to high."""

    label: str
    low: float
    high: float
    step: float
    value: float

    def check(self, name: str, value: object) -> None:
        """Raise unless `value` is one that the slider can take."""
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not self.low <= value <= self.high:
            raise ValueError(f"{name} must lie in {self.low:g}..{self.high:g}, got {value!r}")


@dataclass(frozen=True)
class Choice:
    """One of several texts."""

    label: str
    options: tuple[str, ...]
    value: str

    def check(self, name: str, value: object) -> None:
        """Raise unless `value` is one of the options."""
        if value not in self.options:
            raise ValueError(f"{name} must be one of {', '.join(self.options)}, got {value!r}")


class BoxLab(anywidget.AnyWidget):
    """A picture that is drawn anew at each move of a slider, a list or a box.

    Args:
        draw: ``draw(**values) -> Drawn``; with a box ``draw(box, **values)``, the box as four whole numbers
            x0, y0, x1, y1 inside the picture. It is called here once, and then at each change.
        controls: a `Slider` or `Choice` for each of the values, by name.
        box: the first box in pixels, half open; None for a picture without one.
        size: height and width of the picture that the box is in; only needed with a box.

    Raises:
        TypeError: a value of another type, by name.
        ValueError: a value or a box out of range, by name.
    """

    _esm = joined(JS / "box_lab.js")
    _css = joined(JS / "box_lab.css")

    _controls = t.List().tag(sync=True)
    _size = t.List().tag(sync=True)
    _picture = t.Bytes().tag(sync=True)
    _asked = t.Int(0).tag(sync=True)
    _answered = t.Int(0).tag(sync=True)
    _trouble = t.Unicode().tag(sync=True)
    values = t.Dict().tag(sync=True)
    box = t.List().tag(sync=True)
    words = t.Unicode().tag(sync=True)

    def __init__(
        self,
        draw: Callable[..., Drawn],
        controls: Mapping[str, Slider | Choice],
        box: Sequence[float] | None = None,
        size: tuple[int, int] | None = None,
    ):
        if (box is None) != (size is None):
            raise ValueError(f"box and size must be given together, got {box!r} and {size!r}")
        self._draw, self._known = draw, dict(controls)
        values = {name: control.value for name, control in self._known.items()}
        super().__init__(
            _controls=[{"name": name} | asdict(control) for name, control in self._known.items()],
            _size=list(size or (0, 0)),
            values=values,
            box=[] if box is None else list(box),
        )
        self._show()
        self.observe(self._show, ["values", "box"])

    @t.validate("values")
    def _check_values(self, proposal: dict) -> dict:
        values = dict(proposal["value"])
        if values.keys() != self._known.keys():
            raise ValueError(f"values must be those of {', '.join(self._known)}, got {', '.join(values)}")
        for name, value in values.items():
            self._known[name].check(name, value)
        return values

    @t.validate("box")
    def _check_box(self, proposal: dict) -> list[int]:
        box = proposal["value"]
        if not self._size[0]:
            if len(box):
                raise ValueError(f"box must be left out of a lab without one, got {box!r}")
            return []
        (whole,) = clip_boxes([box], tuple(self._size))
        if (whole[2:] <= whole[:2]).any():
            raise ValueError(f"box must hold pixels of the picture, got {box!r}")
        return whole.tolist()

    def _show(self, _change: object = None) -> None:
        """Draw what is chosen now and send it, together with the number of the question it answers."""
        try:
            drawn = self._draw(*([tuple(self.box)] if self.box else []), **self.values)
            with self.hold_sync():
                self._drawn = drawn
                self._picture = encoded(drawn.picture, compress_level=1)
                self.words = drawn.words
                self._trouble = ""
        except Exception as error:  # whatever a reader's own function may raise, the page should say so
            self._trouble = f"The picture could not be drawn anew: {type(error).__name__}: {error}"
            raise
        finally:
            self._answered = self._asked

    @t.observe("_asked")
    def _answer(self, change: dict) -> None:
        """A question without a change of state (the box dropped where it was) needs an answer as well."""
        self._answered = change["new"]

    def __repr__(self) -> str:
        return "BoxLab: run this cell to explore"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view, and beside it the still picture for pages without a kernel."""
        file, width = lab_still(self._drawn, self._title(), self.box or None)
        return with_still(super()._repr_mimebundle_(**options), html_image(file, self.words, width))

    def _title(self) -> str:
        known = self._known.items()
        return ", ".join(f"{control.label}: {self.values[name]}" for name, control in known)


def lab_still(drawn: Drawn, title: str, box: Sequence[float] | None = None) -> tuple[bytes, int]:
    """The lab's picture for one state, with the values above it and the words below: PNG and CSS width."""
    with plt.style.context(plots.STYLE):
        figure = plots.pictures([drawn.picture], [title], [[box]] if box else None, width=2.3)
        figure.supxlabel(textwrap.fill(drawn.words, 44), fontsize=9)
        return plots.rendered(figure, scale=1)
