"""The course as material: what stands in its notebooks and exercise modules, chapter by chapter.

Everything that the teacher's pages and the slides say is read here, so that nothing is kept twice.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from ..exercises import Exercise, OpenTask, exercises_in, modules, open_tasks_in
from ..exercises.quiz import Quiz, quizzes_in
from ..kit.storage import ROOT

_IMAGE = re.compile(r'<img alt="([^"]*)"[^>]*?src="data:image/([a-z+]+);base64,([^"]+)"')
_QUOTES = re.compile(r'"([^"]+)"')


@dataclass(frozen=True)
class Figure:
    """A picture that a notebook shows.

    Attributes:
        alt: what it shows, in words.
        kind: of the file, such as ``"webp"``.
        data: the file.
    """

    alt: str
    kind: str
    data: bytes


@dataclass
class Section:
    """A heading of a notebook and what stands below it.

    Attributes:
        title: of the heading.
        parts: texts (Markdown), figures, exercises, tasks and quizzes in their order.
    """

    title: str
    parts: list[str | Figure | Exercise | OpenTask | Quiz] = field(default_factory=list)


@dataclass
class Material:
    """A chapter: its notebook and its module.

    Attributes:
        number: such as ``"05b"``.
        title: of the chapter.
        notebook: name of the file.
        lead: the sentence or two below the title.
        objectives: what a reader will be able to do.
        passage: the words of the lecture that the chapter belongs to, as the notebook names them.
        time: what the notebook says of it.
        runs_on: what the notebook says of it.
        sections: in order.
        still_wrong: what the notebook says its method still gets wrong, or "".
        exercises: of the module.
        tasks: open tasks of the module.
        quizzes: of the module.
        module: where the exercises stand.
    """

    number: str
    title: str
    notebook: str
    lead: str
    objectives: Sequence[str]
    passage: str
    time: str
    runs_on: str
    sections: list[Section]
    still_wrong: str
    exercises: Sequence[Exercise]
    tasks: Sequence[OpenTask]
    quizzes: Sequence[Quiz]
    module: ModuleType

    @property
    def name(self) -> str:
        """The notebook's name without its ending."""
        return self.notebook.removesuffix(".ipynb")

    @property
    def exercise_minutes(self) -> int:
        """Of all exercises, without open tasks."""
        return sum(exercise.minutes for exercise in self.exercises)

    @property
    def reading_minutes(self) -> int:
        """The first number of `time`."""
        found = re.search(r"\d+", self.time)
        return int(found[0]) if found else 0


def course() -> list[Material]:
    """All chapters that have exercises and a notebook, in the order of the course.

    Raises:
        FileNotFoundError: an installation without notebooks.
    """
    folder = notebooks()
    found = [module for module in modules() if (folder / module.chapter.notebook).is_file()]
    return [_material(module, folder / module.chapter.notebook) for module in found]


def notebooks() -> Path:
    """The folder of the course's notebooks: of the checkout, or of an installed copy.

    Raises:
        FileNotFoundError: an installation without them.
    """
    for folder in (ROOT / "notebooks", ROOT / "lecturekit" / "notebooks"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("this installation has no notebooks; take the course's wheel or a clone of it")


def lecture_link(passage: str = "") -> str:
    """Address of the lecture's notes, at a passage where a browser can find its words.

    Args:
        passage: as the notebooks name it. From one quotation to another in double quotes, or one quotation.
    """
    urls = dict(line.split(", ", 1) for line in metadata("lecturekit").get_all("Project-URL") or [])
    quotations = _QUOTES.findall(passage)
    if not quotations:
        return urls["Lecture"]
    ends = quotations[-2:] if " to " in passage and len(quotations) > 1 else quotations[-1:]
    # the notes have typographic apostrophes; a hyphen has a meaning of its own in such a link
    texts = [quote(words.replace("'", "’"), safe="").replace("-", "%2D") for words in ends]
    return f"{urls['Lecture']}#:~:text={','.join(texts)}"


def _material(module: ModuleType, path: Path) -> Material:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    opening = _source(cells[0])
    things: list[Any] = [*exercises_in(module), *open_tasks_in(module), *quizzes_in(module)]
    return Material(
        number=module.chapter.number,
        title=module.chapter.title,
        notebook=path.name,
        lead=" ".join(re.sub(r"^#.*", "", opening.partition("**You will be able to**")[0]).split()),
        objectives=re.findall(r"^- (.+)$", opening, re.MULTILINE),
        passage=_line(opening, "Lecture passage"),
        time=_line(opening, "Time"),
        runs_on=_line(opening, "Runs on"),
        sections=_sections(cells[1:], {thing.name: thing for thing in things}),
        still_wrong=_line("\n".join(map(_source, cells)), r"What [^*\n]*\bstill gets? wrong"),
        exercises=exercises_in(module),
        tasks=open_tasks_in(module),
        quizzes=quizzes_in(module),
        module=module,
    )


def _line(text: str, name: str) -> str:
    """What follows a bold name and a colon, to the end of its paragraph."""
    found = re.search(rf"^\*\*{name}:\*\* (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _sections(cells: Sequence[dict], things: dict[str, Any]) -> list[Section]:
    """The cells by headings; an exercise's card and stub become the exercise itself."""
    sections: list[Section] = []
    for cell in cells:
        source = _source(cell)
        if cell["cell_type"] == "markdown":
            for text in re.split(r"^(?=##+ )", source, flags=re.MULTILINE):
                heading, _, below = text.partition("\n") if text.startswith("##") else ("", "", text)
                if re.match(r"### (Exercise|Open task):", heading):
                    continue
                if heading:
                    sections.append(Section(heading.lstrip("# ")))
                if below.strip() and sections:
                    sections[-1].parts.append(below.strip())
        elif sections:
            named = re.findall(r"exercises\.(\w+)\.(?:use|check|show)\(", source)
            sections[-1].parts += [things.pop(name) for name in named if name in things]
            sections[-1].parts += _figures(cell)
    return sections


def _figures(cell: dict) -> list[Figure]:
    shown = ["".join(output.get("data", {}).get("text/html", "")) for output in cell["outputs"]]
    return [
        Figure(html.unescape(alt), kind, base64.b64decode(data))
        for text in shown
        for alt, kind, data in _IMAGE.findall(text)
    ]
