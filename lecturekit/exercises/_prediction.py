"""Predict first: commit to a guess before the outcome is shown, and see how good the guess was.

    where = exercises.chapter.predict("espresso", "Where is the map highest?", image=view)
    where                                                # the widget; it may be left alone
    ...
    where.reveal(evidence.maps[0])                       # in the cell that shows the map
    ...
    exercises.chapter.you_against_the_network()          # at the end of the chapter

A guess is kept in the data folder, so that it outlives the kernel. Nothing waits for one: without a guess
`reveal` says so, and the notebook goes on.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import cv2
import numpy as np
import traitlets as t
from numpy.typing import NDArray

from lecturekit.exercises import _memory
from lecturekit.exercises._render import Note, box, show
from lecturekit.exercises.predict import Score, score_choice, score_click, score_curve
from lecturekit.kit.checks import number
from lecturekit.kit.images import checked_image, encoded, html_image
from lecturekit.kit.javascript import joined

#: Longer side of the picture as it goes to the browser, and of the one on pages without a kernel.
SENT, STILL = 640, 220


class Axes(NamedTuple):
    """What a curve is drawn in."""

    names: Sequence[object]  #: of the points along x
    low: float  #: lower end of the y axis
    high: float  #: its upper end
    across: str = ""  #: what x is
    up: str = ""  #: what y is


class Prediction(anywidget.AnyWidget):
    """One question and the guess at its answer. Exactly one of `image`, `axes` and `options` is given.

    Args:
        name: under which the guess is kept, such as ``"05/espresso"``.
        question: what is to be predicted.
        image: uint8 RGB ``(H, W, 3)``: the guess is a place in it, and the outcome a map.
        axes: the guess is a curve in them, and the outcome its heights.
        options: the guess is one of these texts, and so is the outcome.

    Raises:
        ValueError: none or several of the three, fewer than two options or points, an axis without height.
    """

    _esm = joined(Path(__file__).with_name("predict.js"))
    _css = joined(Path(__file__).with_name("predict.css"))
    kind = t.Unicode().tag(sync=True)
    question = t.Unicode().tag(sync=True)
    options = t.List().tag(sync=True)
    #: The committed guess: x and y, 0..1; heights; or the number of an option. Empty without one.
    guess = t.List().tag(sync=True)
    outcome = t.List().tag(sync=True)
    words = t.Unicode().tag(sync=True)
    _photo = t.Bytes().tag(sync=True)
    _alt = t.Unicode().tag(sync=True)
    _axis = t.Dict().tag(sync=True)

    def __init__(
        self,
        name: str,
        question: str,
        image: NDArray[np.uint8] | None = None,
        axes: Axes | None = None,
        options: Sequence[str] | None = None,
    ):
        given = {"click": image, "curve": axes, "choice": options}
        kinds = [kind for kind, value in given.items() if value is not None]
        if len(kinds) != 1:
            raise ValueError(f"one of image, axes and options must be given, got {kinds or 'none'}")
        self.name, self._picture, self._frame = name, None, axes
        parts: dict[str, Any] = {}
        if image is not None:
            self._picture = checked_image(image)
            parts = {"_photo": encoded(_shrunk(self._picture, SENT), "JPEG", quality=85), "_alt": question}
        elif axes is not None:
            number("axes.high", axes.high, axes.low, open_=True)
            parts["_axis"] = axes._asdict() | {"names": [str(n) for n in axes.names]}
        else:
            parts["options"] = [str(option) for option in options or ()]
        if len(parts.get("options", parts.get("_axis", {}).get("names", "ab"))) < 2:
            raise ValueError("options and axes must leave a choice: at least two are wanted")
        super().__init__(kind=kinds[0], question=question, **parts)
        kept = _memory.remembered("predictions").get(name)
        if isinstance(kept, dict) and self._fits(kept.get("guess")):
            self.guess = kept["guess"]
        self.observe(self._keep, "guess")

    @t.validate("guess")
    def _check_guess(self, proposal: dict) -> list:
        if proposal["value"] and not self._fits(proposal["value"]):
            raise ValueError(f"guess does not fit the question, got {proposal['value']!r}")
        return proposal["value"]

    def _fits(self, guess: object) -> bool:
        """Whether a guess from the browser or from a file can be one at this question."""
        if not isinstance(guess, list) or any(isinstance(v, bool) for v in guess):
            return False
        if not all(isinstance(v, int | float) and np.isfinite(v) for v in guess):
            return False
        if self.kind == "click":
            return len(guess) == 2 and all(0 <= v <= 1 for v in guess)
        if self.kind == "curve":
            return len(guess) == len(self._axis["names"])
        return len(guess) == 1 and guess[0] in range(len(self.options))

    def _keep(self, _change: object = None) -> None:
        _memory.remember("predictions", self.name, {"question": self.question, "guess": list(self.guess)})

    def score(self, outcome: Any) -> Score | None:
        """How good the guess is beside what came out, or None without a guess.

        Args:
            outcome: the map ``(h, w)``, the heights, or the option.
        """
        if not self.guess:
            return None
        if self.kind == "click":
            return score_click(self.guess, outcome)
        if self._frame is not None:
            return score_curve(self.guess, outcome, self._frame.low, self._frame.high)
        return score_choice(self.options[int(self.guess[0])], str(outcome), len(self.options))

    def reveal(self, outcome: Any) -> None:
        """Show how near the guess came to the outcome, and keep the score.

        Args:
            outcome: as in `score`. A map may be a tensor.

        Raises:
            ValueError: an outcome that does not belong to the question.
        """
        outcome = outcome.detach().cpu().numpy() if hasattr(outcome, "detach") else outcome
        where = self._as_guess(outcome)
        score = self.score(outcome)
        if score is None:
            show(_Verdict("○", "No prediction", self.question, _UNSET))
            return
        self.words = f"{score.words}. A blind guess scores {score.blind:.0%}."
        self.outcome = where
        kept = {"question": self.question, "guess": list(self.guess)}
        _memory.remember("predictions", self.name, kept | {"points": score.points, "blind": score.blind})
        better = score.points > score.blind
        show(
            _Verdict(
                "✓" if better else "✗", f"Your prediction: {score.points:.0%}", self.question, self.words
            )
        )

    def _as_guess(self, outcome: Any) -> list:
        """The outcome in the form of a guess, for the drawing."""
        if self.kind == "click":
            values = np.asarray(outcome, float)
            if values.ndim != 2 or not values.size:
                raise ValueError(f"outcome must be a map (h, w), got shape {values.shape}")
            row, column = np.unravel_index(values.argmax(), values.shape)
            return [float((column + 0.5) / values.shape[1]), float((row + 0.5) / values.shape[0])]
        if self.kind == "curve":
            heights = np.asarray(outcome, float)
            if heights.shape != (len(self._axis["names"]),):
                raise ValueError(f"outcome must be {len(self._axis['names'])} heights, got {heights.shape}")
            return heights.tolist()
        if str(outcome) not in self.options:
            raise ValueError(f"outcome must be one of {', '.join(self.options)}, got {outcome!r}")
        return [self.options.index(str(outcome))]

    def __repr__(self) -> str:
        return f"Predict first: {self.question} (run this cell to commit a guess)"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view and, for pages without a kernel, the question with its picture or its answers."""
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        return data | {"text/html": self._still(), "text/plain": repr(self)}, metadata

    def _still(self) -> str:
        words = f"<p><strong>Predict first.</strong> {html.escape(self.question)}</p>"
        if self._picture is not None:
            file = encoded(_shrunk(self._picture, STILL), "JPEG", quality=75)
            words += html_image(file, f"The picture to click into. {self.question}", mime="image/jpeg")
        elif self._frame is not None:
            names = ", ".join(html.escape(str(n)) for n in self._frame.names)
            words += f"<p>{html.escape(self._frame.up)} at {html.escape(self._frame.across)} {names}</p>"
        else:
            words += f"<ul>{''.join(f'<li>{html.escape(option)}</li>' for option in self.options)}</ul>"
        return (
            f"<div>{words}<p><em>Say it before you read on. Run this cell to commit a guess.</em></p></div>"
        )


_UNSET = "You committed no guess: do so in the cell above, and run this one again to see how near it comes."


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """With a longer side of at most so many pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


class _Verdict(NamedTuple):
    """What `reveal` says."""

    symbol: str
    word: str
    title: str
    text: str

    def __repr__(self) -> str:
        return f"{self.symbol} {self.word} · {self.title}\n{self.text}"

    def _repr_html_(self) -> str:
        colour = {"✓": "#009E73", "✗": "#D55E00"}.get(self.symbol, "#56B4E9")
        return box(self.symbol, self.word, self.title, self.text, colour)


def scored(chapter: str = "") -> list[dict[str, Any]]:
    """Every prediction with a score: question, points and blind.

    Args:
        chapter: only those of the chapter with this number; ``""`` for all.
    """
    kept = _memory.remembered("predictions").items()
    mine: list[Any] = [value for name, value in kept if name.startswith(f"{chapter}/" if chapter else "")]
    return [value for value in mine if _is_scored(value)]


def summary(chapter: str) -> Note:
    """You against the network: every scored prediction of a chapter, and their mean beside blind guesses.

    Args:
        chapter: its number, such as ``"05b"``.
    """
    mine = scored(chapter)
    if not mine:
        return Note(
            "**You against the network.** No prediction of this chapter has been scored yet. "
            "Commit one where it says *Predict first*, and run the cell that follows it."
        )
    rows = [f"| {_cell(v['question'])} | {v['points']:.0%} | {v['blind']:.0%} |" for v in mine]
    points, blind = (float(np.mean([v[key] for v in mine])) for key in ("points", "blind"))
    better = points > blind + 0.05
    verdict = (
        "You foresee it better than chance does." if better else "Chance does as well: what surprised you?"
    )
    head = ["| You against the network | your prediction | a blind guess |", "|---|---|---|"]
    return Note("\n".join([*head, *rows, f"| **mean** | **{points:.0%}** | {blind:.0%} |", "", verdict]))


def _is_scored(entry: Any) -> bool:
    """Whether an entry of the file is a whole prediction with its score."""
    if not isinstance(entry, dict) or not isinstance(entry.get("question"), str):
        return False
    numbers = [entry.get(key) for key in ("points", "blind")]
    return all(isinstance(v, int | float) and 0 <= v <= 1 for v in numbers)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
