"""What a fully connected CRF costs and how good it is: ours beside pydensecrf2 and beside the exact sums."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from ..datasets.photos import photo
from ..kit import markdown
from ..kit.devices import available
from ..pixels.crf import Pairwise, mean_field

#: Number of pictures at once, and what is to be timed.
Method = tuple[int, Callable[[], Tensor]]

LIBRARY = "pydensecrf2"
#: Appearance kernels from wide to narrow: the narrower, the more corners has the lattice.
WIDTHS = ({"theta_alpha": 80, "theta_beta": 13}, {"theta_alpha": 80, "theta_beta": 5})
WEIGHTS: dict[str, Any] = {"w1": 4.0, "w2": 3.0, "theta_gamma": 3}


def run(
    rounds: int = 9,
    size: tuple[int, int] = (375, 500),
    classes: int = 21,
    batch: int = 4,
    small: tuple[int, int] = (60, 80),
) -> str:
    """Measure on every device found and return the tables as Markdown.

    Each round runs every method once, in turn, so that a machine that slows down slows all of them. Times are
    medians; ratios are medians over rounds of a method's time to the library's in its round. Ten iterations.
    Distances to the exact answer are taken on pictures of the `small` size.
    """
    lines = [
        f"Machine: {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{rounds} interleaved rounds; astronaut at {size[0]} x {size[1]}, {classes} classes, 10 iterations.",
        "",
    ]
    if not _has_library():
        lines.insert(0, f"{LIBRARY} is not installed and is left out.\n")
    head = ["theta_alpha, theta_beta", "device", "method", "ms a picture", "time / library"]
    cells = [row for widths in WIDTHS for row in _speed(widths | WEIGHTS, rounds, size, classes, batch)]
    speed = markdown.table([*head, "largest difference"], cells)
    return "\n".join([*lines, speed, "", *_quality(small)])


def _speed(kernel: dict, rounds: int, size: tuple[int, int], classes: int, batch: int) -> list[list[str]]:
    """Rows of the first table for one kernel."""
    image, unary = _picture("astronaut", *size), _energies(classes, *size)
    methods: dict[tuple[str, str], Method] = {}
    if _has_library():
        methods["cpu", LIBRARY] = 1, lambda: _library(unary, image, **kernel)
    for device in available():
        methods |= _ours(unary.to(device), image, kernel, batch)
    answers = {key: method().cpu() for key, (_, method) in methods.items()}  # also the warm-up
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in methods}
    for _ in tqdm(range(rounds), leave=False):
        for key, (pictures, method) in methods.items():
            seconds[key].append(_timed(method, key[0]) / pictures)
    return [_row(kernel, key, seconds, answers) for key in methods]


def _row(kernel: dict, key: tuple[str, str], seconds: dict, answers: dict) -> list[str]:
    ratio = difference = ""
    if ("cpu", LIBRARY) in seconds:
        rounds = zip(seconds[key], seconds["cpu", LIBRARY], strict=True)
        ratio = f"{statistics.median(ours / theirs for ours, theirs in rounds):.2f}"
        difference = f"{(answers[key] - answers['cpu', LIBRARY]).abs().max():.0e}"
    widths = f"{kernel['theta_alpha']}, {kernel['theta_beta']}"
    milliseconds = f"{statistics.median(seconds[key]) * 1e3:.0f}"
    return [widths, *key, milliseconds, ratio, difference]


def _ours(unary: Tensor, image: np.ndarray, kernel: dict, batch: int) -> dict[tuple[str, str], Method]:
    """Our methods on the device of the unary: lattice built, lattice reused, and several pictures at once."""
    on_device = torch.from_numpy(image).to(unary.device)
    unaries, images = unary.expand(batch, -1, -1, -1), on_device.expand(batch, -1, -1, -1)
    built = Pairwise(on_device, **kernel)
    device = unary.device.type
    return {
        (device, "lecturekit, lattice built"): (1, lambda: mean_field(unary, on_device, **kernel)),
        (device, "lecturekit, lattice reused"): (1, lambda: mean_field(unary, built)),
        (device, f"lecturekit, {batch} at once"): (batch, lambda: mean_field(unaries, images, **kernel)[0]),
    }


def _quality(size: tuple[int, int]) -> list[str]:
    """The second table: distance of each method to the sums over all pairs of pixels."""
    lines = [
        f"Distance to the exact answer at {size[0]} x {size[1]}, theta_alpha 20, theta_beta 10, 5 classes, "
        "3 seeds:",
        "",
    ]
    cells = []
    kernel: dict[str, Any] = WEIGHTS | {"theta_alpha": 20, "theta_beta": 10}
    methods: dict[str, Callable[..., Tensor]] = {"lecturekit": mean_field}
    if _has_library():
        methods[LIBRARY] = _library
    for name in ("astronaut", "chelsea", "coffee"):
        image = _picture(name, *size)
        unaries = [_energies(5, *size, seed) for seed in range(3)]
        exact = torch.stack([mean_field(unary, image, exact=True, **kernel) for unary in unaries])
        for method, function in methods.items():
            found = torch.stack([function(unary, image, **kernel) for unary in unaries])
            difference = (found - exact).abs().mean()
            other = (found.argmax(1) != exact.argmax(1)).float().mean()
            cells.append([name, method, f"{difference:.4f}", f"{other:.2%}"])
    head = ["picture", "method", "mean difference of probabilities", "pixels of another class"]
    return [*lines, markdown.table(head, cells)]


def _timed(method: Callable[[], Tensor], device: str) -> float:
    wait = getattr(torch, device).synchronize
    wait()
    start = time.perf_counter()
    method()
    wait()
    return time.perf_counter() - start


def _picture(name: str, height: int, width: int) -> np.ndarray:
    return cv2.resize(photo(name), (width, height), interpolation=cv2.INTER_AREA)


def _energies(classes: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Energies of seeded random probabilities, alike over a 16th of the picture as a network's are."""
    coarse = 3 * torch.randn(1, classes, 16, 16, generator=torch.Generator().manual_seed(seed))
    logits = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]
    return -logits.log_softmax(0)


def _has_library() -> bool:
    return importlib.util.find_spec("pydensecrf") is not None


def _library(
    unary: Tensor,
    image: np.ndarray,
    *,
    w1: float,
    theta_alpha: float,
    theta_beta: float,
    w2: float,
    theta_gamma: float,
) -> Tensor:
    """The C++ code of Krähenbühl and Koltun in its Python wrapper; needed for nothing else."""
    library: Any = importlib.import_module("pydensecrf.densecrf")
    classes, height, width = unary.shape
    model = library.DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(unary.reshape(classes, -1).numpy())
    model.addPairwiseGaussian(sxy=theta_gamma, compat=w2)
    model.addPairwiseBilateral(sxy=theta_alpha, srgb=theta_beta, rgbim=image, compat=w1)
    return torch.from_numpy(np.array(model.inference(10)).reshape(unary.shape))
