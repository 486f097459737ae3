"""How good a project's student is, on pictures it has not learned from: one page, and a file for a board."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...kit.cache import content_key
from ...kit.checks import choice, number, whole
from ...kit.files import read_json
from ...kit.images import encoded, html_image
from ...kit.storage import write_atomic
from ...labels import shapes
from ...labels.costs import COSTS
from ...learning.bootstrap import class_ious
from ...plots import BOXES, PALETTE, label_overlay, rendered
from ._file import Picture, Project, Skipped
from ._seen import WORK_SIDE, seen
from ._targets import mask_of
from ._train import WORDS, facts_of
from ._trained import Trained, together, trained

#: Of the small file.
VERSION = 1
#: Resamplings of the test pictures, and the share that the interval holds.
DRAWS, LEVEL = 2000, 0.95
#: Groups of pixels by confidence.
BINS = 10
#: Pictures shown, the worst first.
WORST = 6


@dataclass(frozen=True, eq=False)
class Scores:
    """What was measured on the pictures set aside.

    Attributes:
        pictures: that have masks.
        counts: of each picture and class, ``(N, 3, K)``: pixels that are right, named, true.
        confident: of each group of pixels their number, mean confidence and share that is right, ``(B, 3)``.
        answers: label map of each picture.
        truths: masks of each.
        seeds: mean IoU of each student alone.
    """

    pictures: list[Picture]
    counts: NDArray[np.int64]
    confident: NDArray[np.float64]
    answers: list[NDArray[np.uint8]]
    truths: list[NDArray[np.uint8]]
    seeds: list[float]

    @property
    def iou(self) -> float:
        """Mean IoU over the classes that are there, background included."""
        return _mean(self.counts.sum(0))

    @property
    def interval(self) -> tuple[float, float]:
        """Of the mean IoU, by a bootstrap over the pictures."""
        return _interval(self.counts, _mean)

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and share that is right."""
        weight = self.confident[:, 0] / max(self.confident[:, 0].sum(), 1)
        return float((weight * np.abs(self.confident[:, 1] - self.confident[:, 2])).sum())


def measure(project: Project, found: Trained | None = None) -> Scores:
    """Compare the student's answers with the masks drawn on the pictures set aside.

    Args:
        project: with a student.
        found: the student, where it is at hand.

    Raises:
        FileNotFoundError: no student yet.
        ValueError: no picture set aside has masks.
    """
    found = trained(project) if found is None else found
    truths = {one: mask_of(project, one, WORK_SIDE) for one in project.test}
    pictures = [one for one, truth in truths.items() if truth is not None]
    if not pictures:
        raise ValueError(
            f"no picture set aside has masks yet ({len(project.test)} of them wait): draw every object there "
            "as an outline or a mask, or tick “background” where there is none"
        )
    features = seen(project, pictures, side=found.side)
    masks = [mask for mask in truths.values() if mask is not None]
    sizes = [(mask.shape[0], mask.shape[1]) for mask in masks]
    classes = len(found.classes)
    counts, answers, groups = [], [], np.zeros((BINS, 3))
    each: list[list[NDArray[np.int64]]] = [[] for _ in found.students]
    streams = zip(*(one.probabilities(features, sizes=sizes) for one in found.students), strict=True)
    for some, mask in zip(streams, masks, strict=True):  # a picture at a time is in memory
        for own, one in zip(each, some, strict=True):
            own.append(_counts(one.argmax(0), mask, classes))
        probabilities = together(some)
        answer = probabilities.argmax(0).astype(np.uint8)
        counts.append(_counts(answer, mask, classes))
        groups += _groups(probabilities.max(0), answer == mask)
        answers.append(answer)
    groups[:, 1:] /= np.maximum(groups[:, :1], 1)
    seeds = [_mean(np.sum(own, 0)) for own in each]
    return Scores(pictures, np.stack(counts), groups, answers, masks, seeds)


def report(project: Project, path: str | Path | None = None) -> Path:
    """Write what a project has come to as one HTML page that is readable offline, and a small JSON file.

    The page: quality on the pictures set aside with an interval, class by class, the worst pictures,
    calibration, hours and labels. The JSON, for a teacher's board, has no names of persons, files or classes.

    Args:
        project: with a student.
        path: of the page; the JSON lies beside it. None: ``project-report.html`` beside the project file.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: no student yet.
        ValueError: a damaged student, or no masks on the pictures set aside.
        OSError: a file cannot be written.
    """
    path = project.beside("report.html") if path is None else Path(path).expanduser()
    found = trained(project)
    scores = measure(project, found)
    write_atomic(path, _page(project, found, scores))
    entry = _entry(project, found, scores)
    write_atomic(path.with_suffix(".json"), json.dumps(entry, indent=1, allow_nan=False) + "\n")
    return path


# ------------------------------------------------------------------------------------------------ numbers


def _counts(answer: NDArray, truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    parts = (truth[answer == truth], answer.ravel(), truth.ravel())
    return np.stack([np.bincount(part, minlength=classes)[:classes] for part in parts])


def _mean(counts: NDArray[np.int64]) -> float:
    """Mean IoU of counts ``(3, K)`` over the classes that are there."""
    ious = class_ious(counts)
    return float(np.nanmean(ious)) if not np.isnan(ious).all() else math.nan


def _interval(counts: NDArray[np.int64], value: Any) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    found = [value(counts[rng.integers(0, len(counts), len(counts))].sum(0)) for _ in range(DRAWS)]
    found = [one for one in found if not math.isnan(one)]
    if not found:
        return math.nan, math.nan
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _groups(confidence: NDArray, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each group of pixels their number, and sums of confidence and of what is right, ``(B, 3)``."""
    group = np.minimum((confidence * BINS).astype(int), BINS - 1).ravel()
    sums = [np.bincount(group, one.ravel(), BINS) for one in (confidence, right)]
    return np.stack([np.bincount(group, minlength=BINS).astype(float), *sums], 1)


def _time(project: Project) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was drawn on the pictures to learn from, gone ones too, and on those set aside."""
    parts = []
    for part in ("train", "test"):
        labels = [project.labels(one) for one in project.pictures if one.part == part]
        parts.append(facts_of([some for some in labels if some]))
    return parts[0], parts[1]


def _entry(project: Project, found: Trained, scores: Scores) -> dict[str, Any]:
    """The JSON: numbers alone."""
    learned, aside = _time(project)
    return {
        "lecturekit_project_report": VERSION,
        "mean_iou": round(scores.iou, 4),
        "interval": [round(one, 4) for one in scores.interval],
        "test_pictures": len(scores.pictures),
        "classes": len(project.classes),
        "pictures": learned["pictures"],
        "labels": learned["labels"],
        "hours": round(learned["hours"], 4),
        "test_hours": round(aside["hours"], 4),
        "calibration_error": round(scores.error, 4),
        "students": len(found.students),
    }


# --------------------------------------------------------------------------------------------------- page

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } .big { font-size: 1.6rem; }
table { border-collapse: collapse; } th, td { text-align: right; padding: .2rem .8rem; }
th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid #8886; }
figure { margin: 1rem 1rem 1rem 0; display: inline-block; } img { max-width: 100%; height: auto; }
figcaption { font-size: .9rem; }
.swatch { display: inline-block; width: .9em; height: .9em; border: 1px solid #8888; vertical-align: -.1em; }
"""


def _page(project: Project, found: Trained, scores: Scores) -> str:
    learned, aside = _time(project)
    low, high = scores.interval
    parts = [
        f"<h1>Report: {html.escape(', '.join(project.classes))}</h1>",
        f'<p class="big">Mean IoU {_percent(scores.iou)}, '
        f"{100 * LEVEL:.0f} % interval {_percent(low)} to {_percent(high)}</p>",
        f"<p>Measured on {len(scores.pictures)} pictures that were set aside before anything was drawn, with "
        f"all their objects masked by hand{_waiting(project, scores)}. The interval says what other pictures "
        f"of the same kind could give (bootstrap over the pictures){_few(scores)}.</p>",
        _spread(scores),
        _since(project, found),
        "<h2>Class by class</h2>",
        _class_table(found, scores),
        "<h2>Does its confidence mean what it says?</h2>",
        f"<p>Of the pixels that it calls 80 % sure, 80 % should be right. Mean distance from that: "
        f"{100 * scores.error:.1f} points. {_halves(found)}</p>",
        _reliability(scores),
        "<h2>What was drawn</h2>",
        _label_table(learned, aside),
        "<h2>Worst pictures</h2>",
        f"<p>Left the mask drawn by hand, right the answer. {_legend(found)}</p>",
        *_worst(project, scores),
    ]
    head = f'<meta charset="utf-8"><title>Project report</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _waiting(project: Project, scores: Scores) -> str:
    left = len(project.test) - len(scores.pictures)
    return f"; {left} more {'has' if left == 1 else 'have'} no masks yet" if left else ""


def _few(scores: Scores) -> str:
    return "" if len(scores.pictures) >= 10 else "; of so few pictures it is too narrow"


def _spread(scores: Scores) -> str:
    if len(scores.seeds) < 2:
        return ""
    low, high = min(scores.seeds), max(scores.seeds)
    return f"<p>{len(scores.seeds)} students alone: {_percent(low)} to {_percent(high)}.</p>"


def _since(project: Project, found: Trained) -> str:
    """What has happened to the pictures that were learned from, and to their labels."""
    then = found.facts["drawn"]
    now = {one.content: project.labels(one) for one in project.train}
    gone = len(then.keys() - now.keys())
    changed = sum(content_key(some) != then.get(name) for name, some in now.items() if some or name in then)
    said = ""
    if changed:
        said += (
            f"<p>Since this student was trained, labels of {_pictures(changed)} have been drawn or changed: "
            "train again to see what they bring.</p>"
        )
    if gone:
        said += (
            f"<p>{_pictures(gone)} that it learned from cannot be found; all labels are kept. What was moved "
            "or renamed is found again by <code>project refresh</code>.</p>"
        )
    return said


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _legend(found: Trained) -> str:
    """The colour of each class in the pictures."""
    said = []
    for k, name in enumerate(found.classes[1:]):
        swatch = f'<span class="swatch" style="background:{PALETTE[1 + k % (len(PALETTE) - 1)]}"></span>'
        said.append(f"{swatch} {html.escape(name)}")
    return f"Colours: {', '.join(said)}; background is left as it is."


def _halves(found: Trained) -> str:
    if found.settings.finetune:
        return "A network that was trained as a whole is not calibrated here."
    if not found.halves:
        return "There were too few pictures to calibrate on."
    return f"(Calibrated on the pictures to learn from, temperature {found.facts['temperature']:.2f}.)"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _class_table(found: Trained, scores: Scores) -> str:
    rows = []
    ious = class_ious(scores.counts.sum(0))
    right, named, true = scores.counts.sum(0)
    for k, name in enumerate(found.classes):
        low, high = _interval(scores.counts, lambda total, k=k: float(class_ious(total)[k]))
        shown = int((scores.counts[:, 2, k] > 0).sum())
        precision = right[k] / named[k] if named[k] else math.nan
        recall = right[k] / true[k] if true[k] else math.nan
        interval = f"{_percent(low)} to {_percent(high)}"
        cells = [_percent(float(ious[k])), interval, _percent(precision), _percent(recall), str(shown)]
        rows.append([html.escape(name), *cells])
    return _table(["class", "IoU", f"{100 * LEVEL:.0f} % interval", "precision", "recall", "pictures"], rows)


def _label_table(learned: dict[str, Any], aside: dict[str, Any]) -> str:
    kinds = sorted({*learned["labels"], *aside["labels"]})
    rows = [
        [WORDS[kind][1], *(str(part["labels"].get(kind, 0)) for part in (learned, aside))] for kind in kinds
    ]
    rows.append(["pictures", str(learned["pictures"]), str(aside["pictures"])])
    rows.append(["hours", f"{learned['hours']:.2f}", f"{aside['hours']:.2f}"])
    table = _table(["label", "to learn from", "set aside"], rows)
    mask = COSTS["object_masks"].seconds / 3600
    return (
        f"{table}<p>Hours are those that the clock of the annotator counted; labels from other tools have "
        f"none. (For comparison: masks of all objects of one picture took {3600 * mask:.0f} s in the "
        f"literature, {learned['pictures'] * mask:.1f} h for as many pictures.)</p>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _reliability(scores: Scores) -> str:
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    some = scores.confident[scores.confident[:, 0] > 0]
    axes.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1)
    axes.plot(some[:, 1], some[:, 2], "o-", color=BOXES[0][0])
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of pixels that are right")
    file, width = rendered(figure)
    words = "; ".join(f"at {c:.2f} {r:.2f} right" for _, c, r in some)
    return html_image(file, f"Share of right pixels over confidence: {words}", width)


def _worst(project: Project, scores: Scores) -> list[str]:
    """The pictures with the least IoU, mask and answer side by side."""
    ious = np.array([_mean(counts) for counts in scores.counts])
    shown = []
    for k in np.argsort(ious)[:WORST].tolist():
        truth, answer = scores.truths[k], scores.answers[k]
        image = _at_size(project.image(scores.pictures[k]), truth.shape)
        gap = np.full((truth.shape[0], max(4, truth.shape[1] // 40), 3), 255, np.uint8)
        both = np.concatenate([label_overlay(image, truth), gap, label_overlay(image, answer)], 1)
        name = scores.pictures[k].file
        file = encoded(both, "JPEG", quality=80)
        picture = html_image(file, f"{name}: mask and answer", both.shape[1], "image/jpeg")
        caption = f"{html.escape(name)}: mean IoU {_percent(ious[k])}"
        shown.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return shown


def _at_size(image: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8)


# -------------------------------------------------------------------------------------------------- board


@dataclass(frozen=True)
class Board:
    """Reports of a class, the best first.

    Attributes:
        entries: what each file says, without its name.
        skipped: files that are no reports.
    """

    entries: tuple[dict[str, Any], ...]
    skipped: tuple[Skipped, ...]

    def __str__(self) -> str:
        lines = ["| place | mean IoU | interval | test pictures | pictures | hours | labels |"]
        lines.append("|---|---|---|---|---|---|---|")
        for place, one in enumerate(self.entries, 1):
            kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(one["labels"].items()))
            low, high = one["interval"]
            lines.append(
                f"| {place} | {_percent(one['mean_iou'])} | {_percent(low)} to {_percent(high)} | "
                f"{one['test_pictures']} | {one['pictures']} | {one['hours']:.2f} | {kinds} |"
            )
        return "\n".join(lines)


def leader_board(folder: str | Path) -> Board:
    """Everyone's reports of one folder as a board, without names.

    Args:
        folder: of the JSON files that `report` writes beside its page, under any names.

    Raises:
        FileNotFoundError: there is no such folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "x.json").write_text("no report")
        ...     board = leader_board(folder)
        >>> len(board.entries), board.skipped[0].file
        (0, 'x.json')
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be one of reports, got {str(folder)!r}")
    entries, skipped = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            entries.append(_checked_entry(read_json(path)))
        except (ValueError, KeyError, TypeError, OSError) as error:
            skipped.append(Skipped(path.name, str(error)))
    entries.sort(key=lambda one: (-one["mean_iou"], one["hours"], json.dumps(one)))
    return Board(tuple(entries), tuple(skipped))


def _checked_entry(content: Any) -> dict[str, Any]:
    """The known keys of a report, each of its kind."""
    if not isinstance(content, dict):
        raise ValueError("a report must be a JSON object")
    choice("lecturekit_project_report", content.get("lecturekit_project_report"), [VERSION])
    labels = content["labels"]
    if not isinstance(labels, dict) or not set(labels) <= set(shapes.KINDS):
        raise ValueError(f"labels must be counts of {', '.join(shapes.KINDS)}")
    low, high = content["interval"]
    return {
        "mean_iou": number("mean_iou", content["mean_iou"], 0, 1),
        "interval": (number("interval", low, 0, 1), number("interval", high, 0, 1)),
        "test_pictures": whole("test_pictures", content["test_pictures"], 1),
        "classes": whole("classes", content["classes"], 1),
        "pictures": whole("pictures", content["pictures"], 0),
        "labels": {kind: whole(kind, count, 0) for kind, count in labels.items()},
        "hours": number("hours", content["hours"], 0),
    }
