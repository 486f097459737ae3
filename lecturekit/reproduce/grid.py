"""What is run: experiments as grids, and the steps they are taken in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Pictures of VOC 2012 that the paper learns from (with the masks of Hariharan et al.) and is measured on.
PAPER_TRAIN, PAPER_VAL = 10_582, 1_449
#: Names under which masks for the training pictures may lie, the larger set first.
MASKS = ("SegmentationClassAug", "SegmentationClass")


@dataclass(frozen=True)
class Experiment:
    """A grid of trainings.

    Attributes:
        title: of the table.
        recipes: keys of `RECIPES`, full supervision first: the others are its shares.
        rounds: of the recipes that have several.
        seeds: how many students a recipe.
        splits: lists of training and validation pictures.
        side: longer side in pixels that the network sees.
        settings: of the students, as `Settings` and `Spread` take them.
        most: at most so many training and validation pictures; None: all.
        label_side: as in `first_labels`.
        crf_at_test: a CRF refines the students' answers, as in the paper.
    """

    title: str
    recipes: tuple[str, ...]
    rounds: int
    seeds: int
    splits: tuple[str, str]
    side: int
    settings: dict[str, Any]
    most: tuple[int, int] | None = None
    label_side: int | None = None
    crf_at_test: bool = True


#: Khoreva et al., CVPR 2017: DeepLab-LargeFOV, batches of 30, a rate of 0.001 (ten times that for the new
#: layers) divided by 10 after 2,000 steps. Epochs, crop and zoom are ours.
SIMPLE_DOES_IT = Experiment(
    title="Simple Does It (Khoreva et al., CVPR 2017)",
    recipes=(
        "full",
        "naive",
        "box",
        "box_inner",
        "mcg",
        "grabcut_plus",
        "grabcut_plus_inner",
        "mcg_and_grabcut_plus",
    ),
    rounds=3,
    seeds=3,
    splits=("trainaug", "val"),
    side=500,
    settings={
        "network": "vgg16_largefov",
        "optimiser": "sgd",
        "lr": 0.01,
        "drop_after": 2000,
        "weight_decay": 5e-4,
        "batch": 30,
        "epochs": 17,
        "crop": 320,
    },
)
EXPERIMENTS = {"simple-does-it": SIMPLE_DOES_IT}
#: What ``--quick`` changes: every step runs, and the figures mean nothing.
QUICK: dict[str, Any] = {
    "recipes": ("full", "box", "grabcut_plus"),
    "rounds": 2,
    "seeds": 1,
    "splits": ("train", "val"),
    "side": 96,
    "most": (4, 3),
    "label_side": 64,
    "crf_at_test": False,
}
QUICK_SETTINGS = {
    "network": "efficientnet_lite0",
    "optimiser": "adamw",
    "lr": 2e-3,
    "drop_after": None,
    "batch": 3,
    "epochs": 1,
    "crop": 96,
}


@dataclass(frozen=True)
class Step:
    """One step: what it does, and to which labels or student.

    Attributes:
        kind: ``"labels"`` of boxes, ``"student"``, ``"answers"`` for the validation pictures, or
            ``"relabel"``: the student's labels of the training pictures, mended.
        recipe: a key of `RECIPES`.
        round: from 1 on; 0 for labels of boxes.
        seed: of the student.
    """

    kind: str
    recipe: str
    round: int = 0
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.recipe}" + (
            f", round {self.round}, seed {self.seed}" if self.round else ""
        )
