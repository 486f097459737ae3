"""The course's methods on a GPU: the answers of the CPU, how much faster, how near to the memory's limit.

Each case does the same work on any device. How fast it can be is bounded by the bytes that it must move at
least once, over the bandwidth of the device's memory, which is measured by a copy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.photos import photo
from ..evidence import cam
from ..kit import markdown
from ..learning.features import Backbone
from ..models import MEAN, STD, load_classifier
from ..pixels.crf import mean_field
from ..pixels.mincut import min_cut
from ..pixels.mixtures import fit_mixture, log_density
from . import _results

#: What is said where there is no card.
ABSENT = "not measured: no CUDA device could be had"
#: Steps of the relaxation, the same number on every device.
CUT_STEPS = 100
#: Work on a device -> its answer.
Work = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """One method.

    Attributes:
        prepare: device and number of pictures -> the work, its data already there.
        bytes: that a picture must move at least once, at the size that is measured.
        tolerance: how far answers of two devices may lie apart.
        batch: pictures at once on a GPU.
        wanted: how many times as fast as a CPU a picture should be; None: no goal.
    """

    prepare: Callable[[torch.device, int, int], Work]
    bytes: Callable[[int], float]
    tolerance: float
    batch: int
    wanted: float | None = None


def _image(side: int, count: int, device: torch.device) -> Tensor:
    """Float pictures ``(count, 3, side, side)``, 0..255, each turned a little from the one before."""
    one = cv2.resize(photo("astronaut"), (side, side), interpolation=cv2.INTER_AREA)
    stack = np.stack([np.roll(one, 7 * k, 1) for k in range(count)])
    return torch.from_numpy(stack).to(device).permute(0, 3, 1, 2).float()


def _energies(side: int, count: int, classes: int, device: torch.device) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, classes, 8, 8, generator=rng).to(device)
    return F.interpolate(coarse, (side, side), mode="bicubic")


def _crf(device: torch.device, count: int, side: int) -> Work:
    images = _image(side, count, device).permute(0, 2, 3, 1).byte()
    unary = _energies(side, count, 21, device)
    return lambda: mean_field(unary, images, iterations=5, theta_alpha=0.16 * side, theta_beta=13.0)


def _relaxation(device: torch.device, count: int, side: int) -> Work:
    images = _image(side, count, device) / 255
    unary = _energies(side, count, 1, device)[:, 0] - 0.2
    pairwise = torch.zeros(count, 4, side, side, device=device)
    for k, shift in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        other = images.roll((-shift[0], -shift[1]), (2, 3))
        pairwise[:, k] = 2 * torch.exp(-50 * (images - other).square().sum(1))
    # the energy a pixel: several relaxed masks may have the least one
    return lambda: min_cut(unary, pairwise, steps=CUT_STEPS, tolerance=0.0).energy / side**2


def _em(device: torch.device, count: int, side: int) -> Work:
    colours = (_image(side, count, device) / 255).flatten(2).mT.contiguous()
    share = torch.ones(colours.shape[:2], device=device)
    return lambda: log_density(fit_mixture(colours, share), colours)


def _features(device: torch.device, count: int, side: int) -> Work:
    backbone = Backbone(load_classifier(device=device).network).eval()
    images = (_image(side, count, device) - MEAN) / STD

    @torch.inference_mode()
    def work() -> Tensor:
        return backbone.joined(images)

    return work


def _cam(device: torch.device, count: int, side: int) -> Work:
    model = load_classifier(device=device)
    images = (_image(side, count, device) - MEAN) / STD
    return lambda: cam(model, images, 0).maps


#: 4 bytes a number: what goes in and what comes out, and for iterations what each of them reads and writes.
CASES: dict[str, Case] = {
    "CRF": Case(_crf, lambda side: 4 * side**2 * 21 * 2 * 5, 1e-3, 16, 20.0),
    "GrabCut relaxation": Case(
        _relaxation, lambda side: 4 * side**2 * (2 + 8) * 2 * CUT_STEPS, 1e-3, 256, 50.0
    ),
    "EM": Case(_em, lambda side: 4 * side**2 * (3 + 5) * 2 * 8, 1e-2, 256),
    "features": Case(_features, lambda side: 4 * side**2 * 3 + 4 * (side // 8) ** 2 * 792, 1e-2, 16),
    "CAM": Case(_cam, lambda side: 4 * side**2 * 3 + 4 * (side // 32) ** 2 * 1280, 1e-3, 64),
}


def run(rounds: int = 5, side: int = 256) -> str:
    """Table of every case as Markdown, also in ``docs/results/gpu.json``; one line where there is no card.

    Times are medians over the rounds, a picture; the CPU takes one picture at a time.

    Args:
        rounds: how often each is timed.
        side: of the pictures.
    """
    if not torch.cuda.is_available():
        return ABSENT
    device = torch.device("cuda")
    bandwidth = copy_bandwidth(device)
    rows = [_row(name, case, device, bandwidth, rounds, side) for name, case in CASES.items()]
    card = torch.cuda.get_device_name(device)
    _results.save("gpu", rows, {"card": card, "side": side, "rounds": rounds, "bytes_a_second": bandwidth})
    head = ["method", "CPU ms a picture", "GPU ms a picture", "at once", "CPU : GPU", "goal"]
    head += ["of the memory's limit", "largest difference"]
    about = (
        f"{card}, copies at {bandwidth / 1e9:.0f} GB/s; pictures of {side} x {side}, "
        f"{torch.get_num_threads()} CPU threads, {rounds} rounds."
    )
    cells = [
        [
            row["case"],
            f"{1e3 * row['cpu']:.2f}",
            f"{1e3 * row['gpu']:.3f}",
            row["batch"],
            f"{row['ratio']:.1f}",
            "" if row["wanted"] is None else f"{row['wanted']:.0f}",
            f"{row['of_limit']:.1%}",
            f"{row['difference']:.0e}",
        ]
        for row in rows
    ]
    return "\n".join([about, "", markdown.table(head, cells)])


def _row(
    name: str, case: Case, device: torch.device, bandwidth: float, rounds: int, side: int
) -> dict[str, Any]:
    cpu = seconds(case.prepare(torch.device("cpu"), 1, side), torch.device("cpu"), rounds)
    gpu = seconds(case.prepare(device, case.batch, side), device, rounds) / case.batch
    return {
        "case": name,
        "cpu": cpu,
        "gpu": gpu,
        "batch": case.batch,
        "ratio": cpu / gpu,
        "wanted": case.wanted,
        "of_limit": case.bytes(side) / bandwidth / gpu,
        "difference": difference(case, torch.device("cpu"), device, side),
    }


def seconds(work: Work, device: torch.device, rounds: int) -> float:
    """Median time of some work, after one round to warm up.

    Args:
        work: what is timed.
        device: whose queue is waited for.
        rounds: how often.
    """
    found = []
    for _ in range(rounds + 1):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def difference(case: Case, one: torch.device, other: torch.device, side: int, count: int = 2) -> float:
    """Largest difference between the answers of two devices for the same pictures.

    Both convolve in full float32: by default cuDNN rounds factors to ten bits (TF32), which moved a feature
    by up to .2 on an H100 and a CAM by .02, and is no difference of the methods.

    Args:
        case: the method.
        one: a device.
        other: another.
        side: of the pictures.
        count: how many.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        a, b = (case.prepare(device, count, side)().detach().cpu().float() for device in (one, other))
    return float((a - b).abs().max())


def copy_bandwidth(device: torch.device, megabytes: int = 512) -> float:
    """Bytes a second that a copy reads and writes on a device.

    Args:
        device: where.
        megabytes: of the copy.
    """
    source = torch.zeros(megabytes * 2**18, device=device)  # 4 bytes each
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / seconds(lambda: target.copy_(source), device, 5)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
