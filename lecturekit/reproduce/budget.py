"""What an experiment will take: steps, disk, core-hours and GPU-hours, before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..datasets.voc import CLASSES
from ..learning.networks import make_network
from ..learning.recipes import RECIPES
from .grid import Step

if TYPE_CHECKING:
    from .run import Run

#: Processor seconds a picture of 500 x 375 by one thread (`bench labels`; docs/results/labels.json).
SECONDS = {
    "naive": 0.0001,
    "box": 0.0001,
    "box_inner": 0.0001,
    "grabcut": 0.064,
    "grabcut_plus": 0.347,
    "grabcut_plus_inner": 0.500,
    "mcg": 0.418,
    "mcg_and_grabcut_plus": 0.754,
}
#: The same for the CRF between rounds and on answers.
CRF_SECONDS = 0.219
#: Reading one photograph and scaling it and its labels for the network, about.
READING_SECONDS = 0.02
#: Bytes that a label map takes as a PNG, about.
PNG_BYTES = 4_000
#: Sustained speed that GPU-hours are planned with, in 10^12 operations a second. An assumption: no GPU could
#: be had to measure it.
TFLOPS = 20.0


def dry_run(run: Run, tflops: float = TFLOPS) -> str:
    """The steps that are left of an experiment and what they will take, as text.

    Core-hours rest on measured costs a picture, GPU-hours on counted operations and an assumed speed.

    Args:
        run: the experiment.
        tflops: sustained speed of a GPU, in 10^12 operations a second.
    """
    left = [step for step in run.steps if not run.done(step)]
    forward = _forward_operations(run)
    totals = [_cost(run, step, forward) for step in left]
    core, operations = sum(c for c, _ in totals) / 3600, sum(o for _, o in totals)
    lines = [
        f"{run.plan.title}: {len(run.train):,} training pictures ({run.plan.splits[0]}), "
        f"{len(run.val):,} validation pictures ({run.plan.splits[1]}).",
        f"{len(run.plan.recipes)} recipes, up to {run.plan.rounds} rounds, {run.plan.seeds} seed(s): "
        f"{len(run.steps)} steps, {len(run.steps) - len(left)} of them done.",
        "",
    ]
    for step, (seconds, count) in zip(left, totals, strict=True):
        lines.append(f"{step!s:48} {seconds / 3600:8.2f} core-h {count / tflops / 3.6e15:8.2f} GPU-h")
    lines += [
        "",
        f"Left: {core:,.1f} core-hours, {operations / tflops / 3.6e15:,.1f} GPU-hours at {tflops:g} Tflop/s "
        f"(an assumption, not a measurement), {_disk(run, left) / 1e9:.2f} GB on disk.",
        "Nothing has been started.",
    ]
    return "\n".join(lines)


def _cost(run: Run, step: Step, forward: tuple[float, float]) -> tuple[float, float]:
    """Core-seconds and operations of a step."""
    train, val = len(run.train), len(run.val)
    learned, answered = forward
    if step.kind == "labels":
        return SECONDS[step.recipe] * train, 0.0
    if step.kind == "student":
        seen = train * run.options.epochs
        return READING_SECONDS * seen, 3 * learned * seen  # backward takes twice the forward pass
    again = step.kind == "relabel"
    mended = bool(RECIPES[step.recipe].tricks) if again else run.plan.crf_at_test
    crf = CRF_SECONDS if mended else 0.0
    pictures = train if again else val
    return (READING_SECONDS + crf) * pictures, answered * pictures


def _forward_operations(run: Run) -> tuple[float, float]:
    """Of one picture in training and of one to be answered for; counted without computing anything."""
    options = run.options
    kind: dict[str, Any] = {"head": options.head, "hidden": options.hidden}
    network = make_network(options.network, len(CLASSES), **kind).to("meta").eval()
    found = []
    for side in (options.crop or run.plan.side, run.plan.side):
        side = 8 * max(4, round(side / 8))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, side, side, device="meta"))
        found.append(float(counter.get_total_flops()))
    return found[0], found[1] * 0.75  # photographs are three quarters of a square


def _disk(run: Run, left: list[Step]) -> float:
    """Bytes that the steps leave, and the one checkpoint beside them."""
    weights = 4.0 * sum(p.numel() for p in make_network(run.options.network, len(CLASSES)).parameters())
    bytes_ = {
        "labels": PNG_BYTES * len(run.train),
        "relabel": PNG_BYTES * len(run.train),
        "student": weights,
        "answers": 100.0 * len(run.val),
    }
    return sum(bytes_[step.kind] for step in left) + 3 * weights * bool(left)
