"""Where do maps point? Saliency, CAM and Grad-CAM of the untrained-for-it classifier on a VOC folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..datasets.voc import CLASSES, VOC, Picture
from ..evidence import cam, grad_cam, integrated_gradients, saliency
from ..evidence.maps import upsample
from ..kit import markdown
from ..metrics import BoxAccuracy, box_accuracy, pixel_average_precision, pointing_game
from ..models import MEAN, STD, Classifier, load_classifier
from ._results import save

SIZE = 352
#: Pictures of the train split on which each map's threshold is chosen, evenly spread over the list.
CHOSEN_ON = 100

#: ImageNet's names for VOC's classes. Person has none; of dogs and birds there are too many to list.
NAMES = {
    "aeroplane": ("airliner", "warplane"),
    "bicycle": ("mountain bike", "bicycle-built-for-two"),
    "boat": (
        "canoe",
        "catamaran",
        "container ship",
        "fireboat",
        "gondola",
        "lifeboat",
        "liner",
        "pirate",
        "schooner",
        "speedboat",
        "trimaran",
        "yawl",
    ),
    "bottle": ("beer bottle", "pop bottle", "water bottle", "wine bottle"),
    "bus": ("minibus", "school bus", "trolleybus"),
    "car": ("beach wagon", "cab", "convertible", "jeep", "limousine", "minivan", "racer", "sports car"),
    "cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "chair": ("barber chair", "folding chair", "rocking chair"),
    "cow": ("ox",),
    "diningtable": ("dining table",),
    "horse": ("sorrel",),
    "motorbike": ("moped", "motor scooter"),
    "pottedplant": ("pot",),
    "sheep": ("ram", "bighorn"),
    "sofa": ("studio couch",),
    "train": ("bullet train", "electric locomotive", "steam locomotive"),
    "tvmonitor": ("monitor", "screen", "television"),
}
#: First and last of the stretches of ImageNet's list that are one class of VOC.
STRETCHES = {
    "dog": (("Chihuahua", "Mexican hairless"),),
    "bird": (("cock", "great grey owl"), ("black grouse", "black swan"), ("white stork", "albatross")),
}

Method = Callable[[Classifier, Tensor, int], Tensor]
METHODS: dict[str, Method] = {
    "centre (looks at nothing)": lambda model, image, k: _centre(),
    "saliency": lambda model, image, k: saliency(model, image, k).maps,
    "CAM": lambda model, image, k: cam(model, image, k).maps,
    "Grad-CAM, last layer (= CAM / hw)": lambda model, image, k: grad_cam(model, image, k).maps,
    "integrated gradients, absolute": lambda model, image, k: integrated_gradients(
        model, image, k, steps=16
    ).maps.abs(),
    "Grad-CAM, blocks.4": lambda model, image, k: grad_cam(model, image, k, "network.blocks.4").maps,
    "HiResCAM, blocks.4": lambda model, image, k: (
        grad_cam(model, image, k, "network.blocks.4", weights="elementwise").maps
    ),
    "LayerCAM, blocks.4": lambda model, image, k: (
        grad_cam(model, image, k, "network.blocks.4", weights="positive").maps
    ),
    "LayerCAM, blocks.2": lambda model, image, k: (
        grad_cam(model, image, k, "network.blocks.2", weights="positive").maps
    ),
}


def run(data: str | Path) -> str:
    """Table of pointing game, box accuracy and pixel precision on the pictures with one class, as Markdown.

    The classifier is asked about the most likely of ImageNet's classes that mean the picture's class. The
    threshold for boxes is chosen on the train split and used on the val split, where everything is measured.
    """
    model = load_classifier()
    indices = class_indices(model.categories)
    splits = (("train", CHOSEN_ON), ("val", None))
    chosen_on, judged_on = (_maps(model, indices, VOC(data, split), count=count) for split, count in splits)
    lines = [
        f"{len(judged_on['masks'])} pictures of one class at {SIZE} x {SIZE} px; thresholds chosen on",
        f"{len(chosen_on['masks'])} others. Published results are for other sets: do not compare.",
        "",
    ]
    rows, cells = [], []
    for name in METHODS:
        level = _boxes(chosen_on, name).curve[:, 0].argmax()
        found = _boxes(judged_on, name).curve[level, 0]
        masks, void = judged_on["masks"], judged_on["void"]
        hits = pointing_game(judged_on[name], masks).float()
        points = hits.mean()
        error = hits.std() / len(hits) ** 0.5
        area = pixel_average_precision(judged_on[name], masks, void)
        cells.append([name, f"{points:.3f} ± {error:.3f}", f"{found:.3f}", f"{area:.3f}"])
        rows.append(
            {"map": name, "pointing_game": points, "standard_error": error, "boxes": found, "pxap": area}
        )
    counts = {"judged": len(judged_on["masks"]), "threshold_chosen_on": len(chosen_on["masks"])}
    save("maps", rows, {"size": SIZE} | counts)
    return "\n".join([*lines, markdown.table(["map", "pointing game", "box IoU at least .5", "PxAP"], cells)])


def class_indices(categories: tuple[str, ...]) -> dict[int, list[int]]:
    """For each class of VOC that ImageNet has: the indices of ImageNet's classes that mean it."""
    found = {CLASSES.index(voc): [categories.index(n) for n in names] for voc, names in NAMES.items()}
    for voc, stretches in STRETCHES.items():
        ends = [(categories.index(first), categories.index(last) + 1) for first, last in stretches]
        found[CLASSES.index(voc)] = [k for first, last in ends for k in range(first, last)]
    return found


def look(data: str | Path, names: Sequence[str], count: int = 20, split: str = "val") -> dict:
    """Maps of a few pictures, for a look at one's own disk; a measurement takes `run`.

    Args:
        data: folder in VOC's layout.
        names: of `METHODS`.
        count: how many pictures of one class, evenly spread over the list.
        split: the list.

    Returns:
        By name the maps ``(N, SIZE, SIZE)``; under ``masks``, ``void`` and ``boxes`` the truth.
    """
    model = load_classifier()
    return _maps(model, class_indices(model.categories), VOC(data, split), names, count)


def _maps(
    model: Classifier,
    indices: dict[int, list[int]],
    pictures: VOC,
    names: Sequence[str] = tuple(METHODS),
    count: int | None = None,
) -> dict:
    """Maps of some methods at `SIZE`, with masks, void pixels and boxes of the same pictures."""
    found: dict = {name: [] for name in (*names, "masks", "void", "boxes")}
    chosen = list(_of_one_class(pictures, indices))
    chosen = chosen[:: max(1, len(chosen) // (count or len(chosen)))][:count]
    for picture, voc_class in tqdm(chosen, desc="maps", leave=False):
        image = _squashed(picture.image, model)
        with torch.no_grad():
            logits = model(image)[0, indices[voc_class]]
        asked = indices[voc_class][int(logits.argmax())]
        for name in names:
            method = METHODS[name]
            found[name].append(upsample(method(model, image, asked), SIZE)[0].cpu())
        mask = F.interpolate(torch.from_numpy(picture.mask)[None, None].float(), (SIZE, SIZE))[0, 0]
        found["masks"].append(mask == voc_class)
        found["void"].append(mask == 255)
        height, width = picture.mask.shape
        scale = SIZE / np.array([width, height, width, height])
        found["boxes"].append(torch.from_numpy(picture.boxes[picture.classes == voc_class] * scale))
    return {name: values if name == "boxes" else torch.stack(values) for name, values in found.items()}


def _of_one_class(pictures: VOC, indices: dict[int, list[int]]) -> Iterator[tuple[Picture, int]]:
    for k in range(len(pictures)):
        picture = pictures[k]
        (voc_class, *others) = picture.labels
        if not others and voc_class in indices:
            yield picture, voc_class


def _squashed(image: np.ndarray, model: Classifier) -> Tensor:
    """The whole picture, brought to a square and preprocessed, ``(1, 3, SIZE, SIZE)``."""
    weight = next(model.parameters())
    pixels = torch.from_numpy(image).to(weight).permute(2, 0, 1)[None]
    pixels = F.interpolate(pixels, (SIZE, SIZE), mode="bicubic", antialias=True).clamp(0, 255)
    return (pixels - MEAN) / STD


def _centre() -> Tensor:
    """A map that is highest in the middle, whatever the picture."""
    axis = torch.linspace(-1, 1, SIZE)
    return -torch.hypot(axis[:, None], axis[None])[None]


def _boxes(found: dict, name: str) -> BoxAccuracy:
    return box_accuracy(found[name], found["boxes"])
