"""The budget calculator: what a project's labels cost, kind by kind. A table round `costs.estimate`."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import Any

from ipywidgets import HTML, Checkbox, FloatText, IntText, VBox

from lecturekit.labels import costs
from lecturekit.labels.costs import Estimate
from lecturekit.widgets._still import with_still

#: Kinds of label in the table, the cheapest work first.
KINDS = (
    *("image_class", "click", "scribble", "box_extreme", "box_drag"),
    *("mask_prompted", "outline", "object_masks", "coarse_mask", "dense_mask"),
)
_STILL = "Run this cell to change the numbers."


@dataclass(frozen=True)
class Project:
    """A data set to be labelled; arguments as in `costs.estimate`."""

    images: int = 1000
    objects: float = 2.5
    classes: int = 20
    votes: int = 1
    review: bool = False

    def estimates(self) -> dict[str, Estimate]:
        """Hours if every image got this kind of label, for each of `KINDS`; errors as in `estimate`."""
        others = asdict(self)
        images = others.pop("images")
        return {kind: costs.estimate(images, {kind: 1}, **others) for kind in KINDS}

    def __str__(self) -> str:
        checks = "with checks" if self.review else "without checks"
        return (
            f"{_several(self.images, 'image')}, {self.objects:g} object{'s' * (self.objects != 1)} an image, "
            f"{_several(self.classes, 'class', 'classes')}, {_several(self.votes, 'vote')}, {checks}"
        )


def _several(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def budget_html(project: Project) -> str:
    """The project's table: for each kind of label hours, the sources' range, and person-years."""
    rows = [_row(kind, estimate) for kind, estimate in project.estimates().items()]
    titles = ("What the annotator does", "Hours", "Cheapest to dearest source", "Person-years")
    head = "".join(f'<th scope="col" style="text-align: left">{title}</th>' for title in titles)
    return (
        f"<table><caption>{html.escape(str(project))}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(kind: str, estimate: Estimate) -> str:
    assumed = " (assumed)" if costs.price(kind).assumed else ""
    cells = (
        costs.KINDS[kind] + assumed,
        _hours(estimate.hours),
        f"{_hours(estimate.low)} to {_hours(estimate.high)}",
        _years(estimate.person_years[0]),
    )
    return "<tr>" + "".join(f'<td style="text-align: left">{html.escape(c)}</td>' for c in cells) + "</tr>"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.1f}"


def _years(years: float) -> str:
    return "under 0.01" if years < 0.01 else f"{years:.2g}" if years < 100 else f"{years:,.0f}"


class Budget(VBox):
    """Fields for a project and its table; `project` is what they say now.

    A number that cannot be is named above the table, which then still shows the last project that can.
    """

    def __init__(self, project: Project | None = None):
        start = project or Project()
        wide = {"style": {"description_width": "13em"}}
        self.fields = {
            "images": IntText(start.images, description="images", **wide),
            "objects": FloatText(start.objects, step=0.5, description="objects an image", **wide),
            "classes": IntText(start.classes, description="classes asked for", **wide),
            "votes": IntText(start.votes, description="people a label", **wide),
            "review": Checkbox(start.review, description="have each label checked", indent=False),
        }
        self.fault = HTML()
        self.table = HTML(budget_html(start))
        super().__init__([*self.fields.values(), self.fault, self.table])
        for field in self.fields.values():
            field.observe(self._changed, "value")

    @property
    def project(self) -> Project:
        """What the fields say."""
        said: dict[str, Any] = {name: field.value for name, field in self.fields.items()}
        return Project(**said)

    def _changed(self, _change: object) -> None:
        try:
            self.table.value = budget_html(self.project)
            self.fault.value = ""
        except (TypeError, ValueError) as error:
            self.fault.value = f'<p role="alert"><strong>Cannot be:</strong> {html.escape(str(error))}</p>'

    def __repr__(self) -> str:
        return f"Budget for {self.project}. {_STILL}"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view, and the table for pages on which no kernel runs."""
        still = f"{budget_html(self.project)}<p><em>{_STILL}</em></p>"
        return with_still(super()._repr_mimebundle_(**options), still, repr(self))
