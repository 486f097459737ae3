"""Chapter 10: your own project, from a folder of pictures and a few hours to a network that segments.

plan(hours=2, pictures=150)                    # which labels, how many, what to expect
project = new("photos", ["cat", "dog"])        # a file beside the pictures; some are set aside
...                                            # draw labels of any kind
trained = train(project)
report(project)                                # one HTML page
predict(project, "more photos", to="coco")
"""

from ._curves import measured
from ._export import export
from ._file import Picture, Project, Skipped, load, new, refresh
from ._import import Imported, import_labels
from ._pilot import reported
from ._plan import Pilot, own_prices, plan
from ._planned import Option, Plan
from ._predict import Predicted, label_map, predict
from ._report import Board, Scores, leader_board, measure, report
from ._seen import seen
from ._suggest import Suggestion, correct, labeller_options, start_correction, suggest
from ._train import train
from ._trained import Trained, trained

__all__ = [
    "Board",
    "Imported",
    "Option",
    "Picture",
    "Pilot",
    "Plan",
    "Predicted",
    "Project",
    "Scores",
    "Skipped",
    "Suggestion",
    "Trained",
    "correct",
    "export",
    "import_labels",
    "label_map",
    "labeller_options",
    "leader_board",
    "load",
    "measure",
    "measured",
    "new",
    "own_prices",
    "plan",
    "predict",
    "refresh",
    "report",
    "reported",
    "seen",
    "start_correction",
    "suggest",
    "train",
    "trained",
]
