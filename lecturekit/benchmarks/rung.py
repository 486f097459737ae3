"""The ladder of the chapters' closings: one student, one set of scenes, every kind of label."""

from __future__ import annotations

from tqdm.auto import tqdm

from ..kit import markdown
from ..labs import rung, rung_students


def run(seeds: int = 3) -> str:
    """Measure every kind of label and keep the ladder in the package, ``labs/rung.json``.

    Args:
        seeds: students a kind.

    Returns:
        The ladder as a table in Markdown.
    """
    students = {kind: rung_students.measure(kind, seeds) for kind in tqdm(rung.KINDS, unit="kind")}
    rung.save(students, rung_students.lessons().objects)
    return table()


def table() -> str:
    """The kept ladder in Markdown."""
    rows = [
        [one.title, f"{one.seconds:.0f}", f"{one.quality:.3f}", " ".join(f"{v:.3f}" for v in one.students)]
        for one in rung.rungs()
    ]
    return markdown.table(["label", "seconds a picture", "mean IoU", "seeds"], rows)
