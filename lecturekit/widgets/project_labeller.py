"""The annotator over all pictures of a project: a queue, keys, filters, how far one is, and the seconds.

Each picture has an annotator of its own, one at a time; its labels are in the project's own files, so what is
drawn is saved at once and `labs.project` sees it::

    labeller = ProjectLabeller(project)
    labeller                                             # the last line of a cell

    train(project)                                       # a later cell; it never waits for a person
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets as t
from ipywidgets import VBox
from numpy.typing import NDArray

from lecturekit.kit.checks import choice
from lecturekit.kit.images import encoded, html_image
from lecturekit.kit.javascript import joined
from lecturekit.labs.project import Picture, Project, start_correction, suggest
from lecturekit.plots import label_overlay
from lecturekit.widgets._asking import AROUND, AskingBar
from lecturekit.widgets._still import JS, with_still
from lecturekit.widgets.annotator import TOOLS, Annotator, annotator_still

#: Which pictures the queue holds, and what a filter is called.
FILTERS: dict[str, str] = {
    "train": "all to learn from",
    "unlabelled": "without labels",
    "labelled": "with labels",
    "suggested": "worth most next",
    "doubtful": "where the student is in doubt",
    "test": "set aside for the report",
}
#: What is drawn on pictures that are set aside: their masks alone are asked for.
TEST_KINDS = ("polygon", "mask")

#: Pictures that are asked for at a time: those worth most next, or where the student is in doubt.
ASKED = 20

#: What is said while the network looks at pictures.
LOOKING = "The network looks at pictures: a few seconds, and longer the first time."

#: The names of pictures, the most doubtful first.
Doubtful = Callable[[], Sequence[str]]
#: A picture's file name -> its label map, uint8 ``(H, W)``.
Answers = Callable[[str], NDArray[np.uint8]]


class _Bar(AskingBar):
    """Which picture it is, buttons, filter and progress."""

    _esm = joined(JS / "project_labeller.js")
    _css = joined(JS / "project_labeller.css")
    trouble = t.Unicode().tag(sync=True)
    _filters = t.List([list(item) for item in FILTERS.items()]).tag(sync=True)
    _filter = t.Unicode("train").tag(sync=True)
    _over = t.Bool(False).tag(sync=True)
    _done = t.Float(0.0).tag(sync=True)


class ProjectLabeller(VBox):
    """Label the pictures of a project, one after the other.

    Page Down and Page Up turn the page; all else is as in `Annotator`. It opens at the first picture without
    labels. Once there is a student, its answer can be laid over the picture: what is clicked or scribbled
    then corrects it (`labs.project.correct`), and the next training learns from that.

    Args:
        project: as `labs.project.new` or `load` gives it.
        kinds: which kinds of label can be drawn, of `labels.shapes.KINDS`; None for all.
        doubtful: names of pictures, for the filter of that name; None: `labs.project.suggest` is asked.
        answers: a student's label map of a picture; None: that of the project's student, where there is one.

    Raises:
        ValueError: another kind, or a project without a picture that is there.

    Attributes:
        picture: the picture on show, or None where the filter leaves none.
        queue: the pictures that the filter leaves.
        seconds: of drawing, over all pictures.
    """

    def __init__(
        self,
        project: Project,
        kinds: Sequence[str] | None = None,
        doubtful: Doubtful | None = None,
        answers: Answers | None = None,
    ):
        wanted = list(TOOLS) if kinds is None else [kinds] if isinstance(kinds, str) else list(kinds)
        self._kinds = [choice("kinds", kind, TOOLS) for kind in wanted]
        if not project.train and not project.test:
            raise ValueError("project must have pictures that are there, got none")
        self.project = project
        self._doubtful = doubtful or (lambda: self._suggested("doubt"))
        self._answers = answers or (lambda name: start_correction(project, name))
        self._labels = {p.file: project.labels(p) for p in (*project.train, *project.test)}
        self.queue: list[Picture] = list(project.train)
        self.picture: Picture | None = None
        self._shown: Annotator | None = None
        self._bar = _Bar(layout={"width": "100%"})
        super().__init__([self._bar])
        self.add_class("lk-project")
        self.add_class(AROUND)
        self._bar.answers_by(self.do)
        self._show(next((p for p in self.queue if not self._labels[p.file]), next(iter(self.queue), None)))

    @property
    def seconds(self) -> float:
        """Of drawing, over all pictures."""
        return sum(label["milliseconds"] for labels in self._labels.values() for label in labels) / 1000

    def do(self, verb: str) -> None:
        """Press a button, or choose a filter.

        Args:
            verb: "back", "next", "open" (the next picture without labels), "answers" and "plain" (lay the
                student's answer over the picture, or not), or "show FILTER", of `FILTERS`. A button that
                cannot be pressed now does nothing.

        Raises:
            ValueError: another word.
        """
        if verb.startswith("show "):
            self._filter(choice("filter", verb.removeprefix("show "), FILTERS))
        elif choice("verb", verb, ("back", "next", "open", "answers", "plain")) in self._may():
            if verb in ("answers", "plain"):
                self._bar._over = verb == "answers"
                self._show(self.picture)
            else:
                self._show(self._beside(verb))

    def _filter(self, name: str) -> None:
        """Make the queue anew and show its first picture."""
        self._bar.trouble = ""
        project, unlabelled = self.project, [p for p in self.project.train if not self._labels[p.file]]
        if name == "suggested":
            queue = self._named(lambda: self._suggested("coverage"))
        elif name == "doubtful":
            queue = self._named(self._doubtful)
        else:
            labelled = [p for p in project.train if self._labels[p.file]]
            queue = {"unlabelled": unlabelled, "labelled": labelled, "test": project.test}.get(
                name, project.train
            )
        self._bar._filter, self.queue = name, list(queue)
        self._show(next(iter(self.queue), None))

    def _suggested(self, by: str) -> list[str]:
        return [one.picture.file for one in suggest(self.project, ASKED, by=by)]

    def _named(self, names: Doubtful) -> list[Picture]:
        self._bar._working = LOOKING
        try:
            return [self.project.picture(name) for name in names()]
        except (OSError, ValueError) as error:  # no student yet, or one of too few pictures
            self._bar.trouble = str(error)
            return []

    def _place(self) -> int:
        return -1 if self.picture is None else [p.file for p in self.queue].index(self.picture.file)

    def _beside(self, verb: str) -> Picture | None:
        """The picture that a button leads to."""
        place = self._place()
        if verb != "open":
            return self.queue[place + (1 if verb == "next" else -1)]
        order = [*self.queue[place + 1 :], *self.queue[: place + 1]]
        return next((p for p in order if not self._labels[p.file]), self.picture)

    def _may(self) -> list[str]:
        place = self._place()
        may = ["back"] * (place > 0) + ["next"] * (0 <= place < len(self.queue) - 1)
        may += ["open"] * any(not self._labels[p.file] for p in self.queue if p != self.picture)
        return may + ["answers", "plain"] * (place >= 0)

    def _show(self, picture: Picture | None) -> None:
        """An annotator for the picture, in place of the one before."""
        old, self._shown, self.picture = self._shown, None, picture
        if picture is not None:
            self._bar.trouble = ""
            self._shown = self._made(picture, old)
        self.children = [self._bar] if self._shown is None else [self._bar, self._shown]
        self._bar.shows(self._shown)
        if old is not None:
            old.close()
        self._tell()

    def _made(self, picture: Picture, old: Annotator | None) -> Annotator | None:
        """The annotator, or in its place the reason why there is none."""
        try:
            return self._annotator(picture, old)
        except (OSError, ValueError) as error:  # the file has gone or changed, or there is no student
            self._bar.trouble = str(error)
        if not self._bar._over:
            return None
        self._bar._over = False
        return self._made(picture, old)

    def _annotator(self, picture: Picture, old: Annotator | None) -> Annotator:
        image = self.project.image(picture)
        if self._bar._over:
            self._bar._working = LOOKING
            image = label_overlay(image, self._answers(picture.file))
        kinds = TEST_KINDS if picture.part == "test" else self._kinds
        made = Annotator(image, self.project.label_classes, key=self.project.label_file(picture), kinds=kinds)
        if old is not None:  # what was in hand stays there
            made.class_index = old.class_index
            if old.tool in made._tools:
                made.tool = old.tool
        made.observe(lambda change: self._heard(picture, change["new"]), "labels")
        return made

    def _heard(self, picture: Picture, labels: list[dict]) -> None:
        self._labels[picture.file] = list(labels)
        self._tell()

    def _tell(self) -> None:
        """Words, meter and buttons for the picture on show."""
        some = self.project.train
        done = sum(bool(self._labels[p.file]) for p in some)
        aside = sum(bool(self._labels[p.file]) for p in self.project.test)
        self._bar._done = done / max(1, len(some))
        self._bar.status = (
            f"{done} of {len(some)} pictures to learn from have labels, {aside} of {len(self.project.test)} "
            f"set aside have masks; {self.seconds / 60:.1f} minutes of drawing."
        )
        self._bar.prompt = self._prompt()
        self._bar._may = self._may()

    def _prompt(self) -> str:
        if self.picture is None:
            return f"No picture here: {FILTERS[self._bar._filter]}."
        words = f"{self._place() + 1} of {len(self.queue)} · {self.picture.file}"
        if self.picture.part == "test":
            words += " · set aside: outline every object, nothing is learned from it"
        return words

    def __repr__(self) -> str:
        return f"ProjectLabeller, {self._bar.status} Run this cell to draw."

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view, and for pages without a kernel a still picture."""
        if self.picture is None:
            return with_still(super()._repr_mimebundle_(**options), f"<p>{self!r}</p>", repr(self))
        labels = self._labels[self.picture.file]
        still = np.asarray(
            annotator_still(self.project.image(self.picture), self.project.label_classes, labels)
        )
        alt = f"{self.picture.file} with {len(labels)} labels. {self._bar.status} Run this cell to draw."
        html = html_image(encoded(still, "WEBP", quality=80), alt, still.shape[1], "image/webp")
        return with_still(super()._repr_mimebundle_(**options), html, repr(self))
