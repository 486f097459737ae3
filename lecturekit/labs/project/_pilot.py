"""What a project's report says, as the anchor of its next plan."""

from __future__ import annotations

from collections import Counter

from ...kit.files import read_json
from ._curves import KINDS
from ._file import BACKGROUND_NAME, Project
from ._plan import Pilot

#: The kind of `KINDS` that a label counts as.
NAMES = {
    "image_class": "tags",
    "point": "clicks",
    "scribble": "scribbles",
    "box": "boxes",
    "extreme": "boxes",
    "polygon": "masks",
    "mask": "masks",
}


def reported(project: Project) -> Pilot | None:
    """What the project has reached by its last report, for `plan`.

    A picture counts as of its dearest kind of label; beside masks, of the kind that most others have. One
    with nothing but the tag background counts as one of masks: all of it is known.

    Args:
        project: whose.

    Returns:
        None where there is no report, or where pictures have been labelled since.
    """
    order = list(KINDS)
    each = [project.labels(one) for one in project.pictures if one.part == "train"]
    nothing = 1 + project.label_classes.index(BACKGROUND_NAME)
    kinds = []
    for labels in filter(None, each):
        found = max((NAMES[one["kind"]] for one in labels), key=order.index)
        bare = found == "tags" and all(one["class_index"] == nothing for one in labels)
        kinds.append("masks" if bare else found)
    try:
        entry = read_json(project.beside("report.json"))
        if entry["pictures"] != len(kinds):
            return None
        weak = Counter(kind for kind in kinds if kind != "masks").most_common(1)
        counts = {weak[0][0]: len(kinds) - kinds.count("masks")} if weak else {}
        counts |= {"masks": kinds.count("masks")} if "masks" in kinds else {}
        return Pilot(counts, entry["mean_iou"], *entry["interval"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged
        return None
