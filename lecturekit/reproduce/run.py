"""An experiment on the pictures of a folder, step by step."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..datasets.voc import CLASSES, VOC, read_mask
from ..kit import cache as disk
from ..kit.checks import choice
from ..kit.devices import pick_device
from ..kit.storage import write_atomic
from ..labels.boxes import checked_boxes
from ..labels.interchange.masks import png
from ..learning.bootstrap import picture_counts, refined_answer
from ..learning.features import Pictures
from ..learning.label_files import ReadImages, ReadLabels, write_label_files
from ..learning.networks import make_network
from ..learning.recipes import RECIPES
from ..learning.scale import finetune, split_settings
from ..learning.settings import Settings
from ..learning.student import Student
from ..learning.tricks import View
from .grid import EXPERIMENTS, MASKS, QUICK, QUICK_SETTINGS, Experiment, Step
from .table import table


def reproduce(
    experiment: str,
    data: str | Path,
    out: str | Path,
    settings: dict[str, Any] | None = None,
    *,
    quick: bool = False,
    workers: int = 0,
    dask: str | None = None,
    device: str | None = None,
    progress: bool = False,
) -> str:
    """Run an experiment, or what is left of it, and return its table as Markdown.

    Args:
        experiment: a key of `EXPERIMENTS`.
        data: folder in VOC's layout; the list ``trainaug`` if it has one, else ``train``.
        out: where every step leaves what it made; on shared storage, if several machines take part.
        settings: in place of the experiment's own: of the student (`Settings`, such as ``weights``) and of
            what it is spread over (`Spread`).
        quick: a few pictures, one seed, a small network: whether everything runs, within a minute.
        workers: processes that make labels; 0: none beside this one.
        dask: address of a cluster that makes them, as in `write_label_files`.
        device: kind of device; None lets `pick_device` choose.
        progress: show bars, and each step's name.

    Raises:
        FileNotFoundError: a part of VOC's layout is missing.
        ValueError: another experiment, or settings of another kind.
    """
    run = planned(experiment, data, out, quick, settings or {})
    for step in run.steps:
        if not run.done(step):
            if progress and rank() == 0:
                tqdm.write(str(step))
            run.take(step, workers=workers, dask=dask, device=device, progress=progress)
        run.wait(step)
    text = table(run)
    if rank() == 0:
        write_atomic(run.out / "table.md", text + "\n")
    return text


def planned(experiment: str, data: str | Path, out: str | Path, quick: bool, settings: dict[str, Any]) -> Run:
    """An experiment on the pictures of a folder, not yet run.

    Args:
        experiment: a key of `EXPERIMENTS`.
        data: as in `reproduce`.
        out: as in `reproduce`.
        quick: as in `reproduce`.
        settings: in place of the experiment's own.
    """
    plan = EXPERIMENTS[choice("experiment", experiment, EXPERIMENTS)]
    if quick:
        plan = replace(plan, **QUICK, settings=plan.settings | QUICK_SETTINGS)
    plan = replace(plan, settings=plan.settings | settings)
    split_settings({"finetune": True} | plan.settings)
    lists = Path(data).expanduser() / "ImageSets" / "Segmentation"
    if not (lists / f"{plan.splits[0]}.txt").exists():
        plan = replace(plan, splits=("train", plan.splits[1]))
    return Run(plan, Path(data).expanduser(), Path(out).expanduser())


def rank() -> int:
    """Number of this process among those that were started together."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def world() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", "1")))


@dataclass(eq=False)
class Run:
    """An experiment on some pictures, and the folder of what is done of it."""

    plan: Experiment
    data: Path
    out: Path

    @cached_property
    def train(self) -> VOC:
        """The training pictures."""
        return self.part(0)

    @cached_property
    def val(self) -> VOC:
        """The validation pictures."""
        return self.part(1)

    def part(self, number: int) -> VOC:
        """Pictures of one of the two lists."""
        voc = VOC(self.data, self.plan.splits[number])
        if self.plan.most is not None:
            voc.names = voc.names[: self.plan.most[number]]
        return voc

    @property
    def options(self) -> Settings:
        """Of the students."""
        return split_settings({"finetune": True} | self.plan.settings)[0]

    @cached_property
    def steps(self) -> list[Step]:
        """In the order in which they are taken."""
        plan, found = self.plan, []
        for recipe in plan.recipes:
            if recipe != "full":
                found.append(Step("labels", recipe))
            for seed in range(plan.seeds):
                for n in range(1, self.rounds(recipe) + 1):
                    found += [Step("student", recipe, n, seed), Step("answers", recipe, n, seed)]
                    if n < self.rounds(recipe):
                        found.append(Step("relabel", recipe, n, seed))
        return found

    def rounds(self, recipe: str) -> int:
        """How many a recipe has."""
        return self.plan.rounds if RECIPES[recipe].rounds > 1 else 1

    def place(self, step: Step) -> Path:
        """The file or folder that a step leaves."""
        if step.kind == "labels":
            return self.out / "labels" / step.recipe
        name = f"{step.recipe}-{step.seed}-{step.round}"
        if step.kind == "relabel":
            return self.out / "labels" / name
        folder, ending = ("students", "pt") if step.kind == "student" else ("answers", "npz")
        return self.out / folder / f"{name}.{ending}"

    def marker(self, step: Step) -> Path:
        """The file that says that a step is done."""
        place = self.place(step)
        return place.with_suffix(".done") if step.kind in ("labels", "relabel") else place

    def done(self, step: Step) -> bool:
        """Whether a step is behind us."""
        return self.marker(step).exists()

    def wait(self, step: Step, pause: float = 2.0) -> None:
        """Until a step is done by whichever process does it, hours if need be: no barrier waits so long."""
        while not self.done(step):
            time.sleep(pause)

    def take(self, step: Step, workers: int, dask: str | None, device: str | None, progress: bool) -> None:
        """Take a step, or this process' part of it."""
        if step.kind == "student":
            return self.teach(step, device, progress)
        if step.kind == "relabel":
            return self.relabel(step, device, progress)
        if step.kind == "answers":
            return self.measure(step, device, progress)
        if rank() > 0:
            return None
        report = write_label_files(
            step.recipe,
            self.data,
            self.plan.splits[0],
            self.place(step),
            most=self.plan.most and self.plan.most[0],
            side=self.plan.label_side,
            workers=workers,
            dask=dask,
            progress=progress,
        )
        write_atomic(self.marker(step), f"{report}\n")
        return None

    def labels_folder(self, step: Step) -> Path:
        """Where the labels lie that a student learns from."""
        if step.round > 1:
            return self.place(replace(step, kind="relabel", round=step.round - 1))
        if step.recipe != "full":
            return self.place(Step("labels", step.recipe))
        return next(self.data / name for name in MASKS if (self.data / name).is_dir())

    def teach(self, step: Step, device: str | None, progress: bool) -> None:
        """Train a student; all processes do."""
        folder = self.labels_folder(step)
        kept = [k for k, name in enumerate(self.train.names) if (folder / f"{name}.png").exists()]
        names = [self.train.names[k] for k in kept]
        student = finetune(
            ReadImages(self.train, kept),
            ReadLabels(folder, names),
            len(CLASSES),
            side=self.plan.side,
            seed=step.seed,
            checkpoint=self.place(step).with_suffix(".checkpoint"),
            device=device,
            progress=progress,
            key=f"{step} {len(names)}",
            **self.plan.settings,
        )
        if rank() == 0:
            buffer = io.BytesIO()
            content = {"module": student.module.state_dict(), "offset": student.offset}
            torch.save(content | {"losses": list(student.losses)}, buffer)
            write_atomic(self.place(step), buffer.getvalue())

    def student(self, step: Step, device: str | None) -> Student:
        """The student of a step's recipe, round and seed."""
        content = torch.load(self.place(replace(step, kind="student")), "cpu", weights_only=True)
        options, state = self.options, content["module"]
        reduction = None
        if options.network == "efficientnet_lite0":  # its shape is that of what was learned from
            wide, many = state["backbone.reduce.weight"].shape[:2]
            reduction = np.zeros(many, np.float32), np.zeros((many, wide), np.float32)
        kind: dict[str, Any] = {"head": options.head, "hidden": options.hidden, "reduction": reduction}
        module = make_network(options.network, len(CLASSES), **kind)
        module.load_state_dict(state)
        return Student(module.to(pick_device(device)), len(CLASSES), True, content["offset"])

    def probabilities(
        self, step: Step, voc: VOC, numbers: list[int], device: str | None, progress: bool
    ) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.float32]]]:
        """Number, image and the student's probabilities of some pictures, one after the other."""
        images = ReadImages(voc, numbers)
        answers = self.student(step, device).probabilities(Pictures(images, self.plan.side))
        bar = tqdm(answers, str(step), len(numbers), leave=False, disable=not progress or rank() > 0)
        yield from zip(numbers, images, bar, strict=True)

    def measure(self, step: Step, device: str | None, progress: bool) -> None:
        """Counts of each validation picture and class (`bootstrap.Round`); every process has its share."""
        numbers = list(range(rank(), len(self.val), world()))
        counts = []
        for k, image, each in self.probabilities(step, self.val, numbers, device, progress):
            answer = refined_answer(each, image) if self.plan.crf_at_test else each.argmax(0).astype(np.uint8)
            counts.append(picture_counts(answer, self.val.mask(k), len(CLASSES)))
        disk.write(self.share(step, rank()), str(step), numbers=numbers, counts=np.array(counts))
        if rank() == 0:
            found = [self.read_share(step, other) for other in range(world())]
            order = np.argsort(np.concatenate([one["numbers"] for one in found]))
            together = np.concatenate([one["counts"] for one in found])[order]
            disk.write(self.place(step), str(step), counts=together)
            self.remove_shares(step)

    def relabel(self, step: Step, device: str | None, progress: bool) -> None:
        """The student's labels of the training pictures, mended; every process has its share."""
        folder, first = self.place(step), self.place(Step("labels", step.recipe))
        mine = [k for k in range(rank(), len(self.train), world()) if self.wanted(folder, first, k)]
        tricks = RECIPES[step.recipe].tricks
        for k, image, each in self.probabilities(step, self.train, mine, device, progress):
            name = self.train.names[k]
            boxes, classes = checked_boxes(*self.train.objects(k), image.shape[:2])
            view = View(image, boxes, classes, read_mask(first / f"{name}.png"), each)
            answer = each.argmax(0).astype(np.uint8)
            for trick in tricks:
                answer = trick(answer, view)
            write_atomic(folder / f"{name}.png", png(answer))
        disk.write(self.share(step, rank()), str(step), numbers=mine)
        if rank() == 0:
            for other in range(world()):
                self.read_share(step, other)
            write_atomic(self.marker(step), f"{len(list(folder.glob('*.png')))} pictures\n")
            self.remove_shares(step)

    def wanted(self, folder: Path, first: Path, k: int) -> bool:
        """Whether a training picture has first labels, and no mended ones yet."""
        name = f"{self.train.names[k]}.png"
        return (first / name).exists() and not (folder / name).exists()

    def share(self, step: Step, number: int) -> Path:
        """The file that says what one process did of a step."""
        return self.place(step).with_suffix(f".{number}-of-{world()}.npz")

    def read_share(self, step: Step, number: int, pause: float = 2.0) -> dict[str, NDArray]:
        """What another process did, once it has."""
        while (found := disk.read(self.share(step, number), str(step))) is None:
            time.sleep(pause)
        return found

    def remove_shares(self, step: Step) -> None:
        """They are together in one file now."""
        for number in range(world()):
            self.share(step, number).unlink(missing_ok=True)

    def counts(self, recipe: str, number: int) -> NDArray[np.int64]:
        """Counts of all seeds' students of a round, ``(seeds, pictures, 3, classes)``."""
        steps = [Step("answers", recipe, number, seed) for seed in range(self.plan.seeds)]
        found = [disk.read(self.place(step), str(step)) for step in steps]
        return np.stack([one["counts"] for one in found if one is not None])
