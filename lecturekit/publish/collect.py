"""What a class hands in, as distributions on one page that names nobody.

Students choose which of their files they hand in: exports of the stopwatch lab, ``ladder.json``,
``exercises.json`` and the JSON of project reports, under any names, in folders or not. Names of files and
folders, which may tell who somebody is, never reach the page, and no group smaller than `FEWEST` is shown.
"""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..exercises import Exercise, Outcome, exercises_in, modules
from ..exercises.quiz import quizzes_in
from ..kit.files import read_json
from ..kit.storage import write_atomic
from ..labs import ladder, stopwatch

#: Of fewer people no distribution is shown: it would be one of persons.
FEWEST = 3
#: A folder with more files than this is not one of hand-ins.
MOST_FILES = 10_000


@dataclass
class Collected:
    """What was found in a folder.

    Attributes:
        records: of the stopwatch lab, one a person.
        ladders: rows of each ladder.
        results: of each person, the best outcome of exercises by name, and answers to questions by text.
        projects: numbers of each project report.
        refused: path of each file that is not used, below the folder, and why. Not for the page.
    """

    records: dict[str, stopwatch.Record] = field(default_factory=dict)
    ladders: list[list[ladder.Row]] = field(default_factory=list)
    results: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    projects: list[dict[str, float]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = {
            "stopwatch": len(self.records),
            "ladder": len(self.ladders),
            "exercises": len(self.results),
            "project": len(self.projects),
        }
        lines = [", ".join(f"{name}: {count}" for name, count in counts.items())]
        return "\n".join([*lines, *(f"not used: {name}: {why}" for name, why in self.refused.items())])


def collect(folder: str | Path) -> Collected:
    """Read what was handed in; a file that cannot be used is reported and does no harm.

    Args:
        folder: with the files, in subfolders too.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds more than `MOST_FILES` JSON files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "x.json").write_text("[1, 2")
        ...     list(collect(folder).refused)
        ['x.json']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be one with the files of a class, got {folder.name!r}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".json")
    if len(paths) > MOST_FILES:
        raise ValueError(f"folder must hold at most {MOST_FILES} JSON files, got {len(paths)}")
    found, seen = Collected(), set()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            if path.is_symlink() or not path.is_file():
                raise ValueError("this is no ordinary file")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in seen:
                raise ValueError("the same as another file")
            _sort(path, found)
            seen.add(digest)
        except (OSError, ValueError, TypeError, KeyError) as error:
            found.refused[name] = str(error)
    return found


def _sort(path: Path, found: Collected) -> None:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError("this is none of the course's files")
    if content.get("format") == "lecturekit stopwatch":
        record = stopwatch.read_record(path)
        if record.simulated:
            raise ValueError("its labels are simulated")
        before = found.records.get(record.who)
        if before is None or len(before.measures) < len(record.measures):
            found.records[record.who] = record
    elif isinstance(content.get("rows"), list):
        found.ladders.append(_rows(content["rows"]))
    elif isinstance(content.get("exercises"), dict) or isinstance(content.get("questions"), dict):
        found.results.append({kind: _section(content, kind) for kind in ("exercises", "questions")})
    elif "lecturekit_project_report" in content:
        found.projects.append(_project(content))
    else:
        raise ValueError("this is none of the course's files")


def _rows(entries: Sequence[Any]) -> list[ladder.Row]:
    rows = []
    for entry in entries:
        try:
            rows.append(ladder.Row(**{name: entry[name] for name in _ROW}))
        except (KeyError, TypeError, ValueError):
            continue  # the others of this ladder are good
    if not rows:
        raise ValueError("no row of this ladder can be read")
    return rows


_ROW = ("chapter", "label", "seconds", "quality", "measure")


def _section(content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    section = content.get(kind)
    return section if isinstance(section, dict) else {}


def _project(content: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report, of those that it has."""
    numbers = {name: content.get(name) for name in _PROJECT}
    kept = {
        name: float(value)
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9
    }
    if not kept:
        raise ValueError("no number of this report can be read")
    return kept


_PROJECT = {
    "mean_iou": "mean IoU on the pictures set aside",
    "hours": "hours of annotation",
    "pictures": "labelled pictures",
    "test_pictures": "pictures set aside",
}


# ------------------------------------------------------------------ the page


def page(found: Collected) -> str:
    """One HTML page of what was found, with nothing in it that tells who.

    Args:
        found: as `collect` gives it.
    """
    parts = [
        _part("The stopwatch lab", len(found.records), lambda: _stopwatch(list(found.records.values()))),
        _part("Exercises", len(found.results), lambda: _exercises(found.results)),
        _part("Questions", len(found.results), lambda: _questions(found.results)),
        _part("The ladder", len(found.ladders), lambda: _ladder(found.ladders)),
        _part("Projects", len(found.projects), lambda: _projects(found.projects)),
    ]
    refused = len(found.refused)
    left_out = f"<p>{refused} file{'s' * (refused != 1)} could not be used.</p>" if refused else ""
    return _PAGE.format(body="\n".join(parts), left_out=left_out)


def write(folder: str | Path, out: str | Path) -> Collected:
    """Read a folder and write its page.

    Args:
        folder: of the files.
        out: of the page.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: too many files.
        OSError: the page cannot be written.
    """
    found = collect(folder)
    write_atomic(out, page(found))
    return found


def _part(title: str, people: int, made: Callable[[], str]) -> str:
    if people < FEWEST:
        body = f"<p>Handed in by {people}; shown from {FEWEST} people on.</p>"
    else:
        body = f"<p>{people} people.</p>{made()}"
    return f"<section><h2>{title}</h2>{body}</section>"


def _stopwatch(records: Sequence[stopwatch.Record]) -> str:
    result = stopwatch.ClassResult(tuple(records))
    rows = []
    for kind, name in stopwatch.KINDS.items():
        seconds, quality = result.medians(kind), result.medians(kind, "iou")
        if len(seconds) >= FEWEST:
            rows.append((name, *_spread(seconds, "s", log=True)))
            rows.append((f"{name}: IoU", *_spread(quality, "", top=1)))
    return _table(("label", "people", "a quarter below", "half below", "three quarters below", "all"), rows)


def _spread(values: ArrayLike, unit: str, top: float = 0, log: bool = False) -> tuple[str, ...]:
    """Cells: how many, the quartiles, and a strip of dots."""
    found = np.asarray(values, np.float64)
    quartiles = [f"{value:.3g} {unit}".strip() for value in np.quantile(found, (0.25, 0.5, 0.75))]
    numbers = found.tolist()
    return (str(len(numbers)), *quartiles, _strip(numbers, top, log))


def _strip(values: Sequence[float], top: float, log: bool) -> str:
    """Dots on a line, one a person, and a bar at the median; drawn from the least to the largest value."""
    scale = (lambda value: math.log10(max(value, 1e-3))) if log else float
    low = min(map(scale, values)) if log else 0.0
    high = scale(top) if top else max(map(scale, values))
    width = high - low or 1.0
    at = [8 + 184 * (scale(value) - low) / width for value in values]
    dots = "".join(f'<circle cx="{x:.1f}" cy="12" r="4" fill="#0072b2" fill-opacity=".5"/>' for x in at)
    middle = float(np.median(at))
    words = f"from {min(values):.3g} to {max(values):.3g}, half below {np.median(values):.3g}"
    line = '<line x1="8" x2="192" y1="12" y2="12" stroke="#bbb"/>'
    return (
        f'<svg width="200" height="24" role="img" aria-label="{words}">{line}{dots}'
        f'<rect x="{middle - 1.5:.1f}" y="2" width="3" height="20" fill="#d55e00"/></svg>'
    )


def _exercises(results: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    rows = []
    for module in modules():
        for exercise in exercises_in(module):
            rows.append((module.chapter.number, html.escape(exercise.title), *_shares(exercise, results)))
    solved = [
        sum(word == Outcome.CORRECT.value for word in result["exercises"].values()) for result in results
    ]
    total = _table(_SPREAD, [("exercises solved", *_spread(solved, ""))])
    return total + _table(("chapter", "exercise", "solved", "tried, not solved yet", ""), rows)


_SPREAD = ("", "people", "a quarter below", "half below", "three quarters below", "all")


def _shares(exercise: Exercise, results: Sequence[Mapping[str, Mapping[str, Any]]]) -> tuple[str, str, str]:
    words = [result["exercises"].get(exercise.name) for result in results]
    solved = sum(word == Outcome.CORRECT.value for word in words)
    tried = sum(word == Outcome.WRONG.value for word in words)
    return str(solved), str(tried), _bar(solved / len(words), tried / len(words))


def _bar(first: float, second: float) -> str:
    words = f"{first:.0%} solved, {second:.0%} tried"
    return (
        f'<svg width="200" height="14" role="img" aria-label="{words}"><rect width="200" height="14" '
        f'fill="#eee"/><rect width="{200 * first:.0f}" height="14" fill="#009e73"/><rect '
        f'x="{200 * first:.0f}" width="{200 * second:.0f}" height="14" fill="#e69f00"/></svg>'
    )


def _questions(results: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    """Questions of the quizzes, those that are got wrong most in front; of enough people only."""
    texts = [(m.chapter.number, q.text) for m in modules() for quiz in quizzes_in(m) for q in quiz.questions]
    rows = []
    for number, text in texts:
        given = [result["questions"][text] for result in results if text in result["questions"]]
        wrong = sum(answer is not True for answer in given)
        if len(given) >= FEWEST:
            rows.append((wrong / len(given), number, html.escape(text), f"{wrong} of {len(given)}"))
    rows.sort(key=lambda row: -row[0])
    return _table(("chapter", "question", "wrong at last"), [row[1:] for row in rows])


def _ladder(ladders: Sequence[Sequence[ladder.Row]]) -> str:
    """Rungs that enough people have; what somebody alone called a rung is not shown."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for rows in ladders:
        own = {(row.chapter, row.label, row.measure): row.quality for row in rows}
        for key, quality in own.items():
            groups.setdefault(key, []).append(quality)
    shown = [
        (
            f"{html.escape(label)} ({html.escape(chapter)}), {html.escape(measure)}",
            *_spread(values, "", top=1),
        )
        for (chapter, label, measure), values in sorted(groups.items())
        if len(values) >= FEWEST
    ]
    return _table(_SPREAD, shown)


def _projects(projects: Sequence[Mapping[str, float]]) -> str:
    rows = []
    for name, words in _PROJECT.items():
        values = [project[name] for project in projects if name in project]
        if len(values) >= FEWEST:
            rows.append((words, *_spread(values, "", top=1 if name == "mean_iou" else 0)))
    return _table(_SPREAD, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are HTML already."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What the class handed in</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5em auto; max-width: 62em;
  padding: 0 1em; color: #1a1a1a; }}
table {{ border-collapse: collapse; margin: .5em 0 1.5em; }}
th, td {{ text-align: left; padding: .25em .8em .25em 0; border-bottom: 1px solid #ddd; font-weight: 400; }}
thead th {{ font-weight: 600; }}
section {{ overflow-x: auto; }}
@media print {{ body {{ margin: 0; }} }}
</style>
</head>
<body>
<main>
<h1>What the class handed in</h1>
<p>Everybody chose what to hand in. Nothing on this page tells who anybody is.</p>
{left_out}
{body}
</main>
</body>
</html>
"""
