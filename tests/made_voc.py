"""A folder in VOC's layout of pictures that a test makes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

#: A class's name and a box in pixels, half open.
Thing = tuple[str, ArrayLike]
FOLDERS = ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation")
THING = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    "</object>"
)


def empty(root: Path, **lists: Iterable[str]) -> Path:
    """The layout's folders without pictures, and files with the names in each list."""
    for part in FOLDERS:
        (root / part).mkdir(parents=True)
    for split, names in lists.items():
        (root / "ImageSets/Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


def add(root: Path, name: str, image: np.ndarray, things: Iterable[Thing], mask: np.ndarray | None = None):
    """A picture with its boxes and, if there is one, its mask."""
    Image.fromarray(image).save(root / f"JPEGImages/{name}.jpg", quality=95)
    if mask is not None:
        Image.fromarray(mask.astype(np.uint8)).save(root / f"SegmentationClass/{name}.png")
    text = ""
    for kind, box in things:
        x0, y0, x1, y1 = np.asarray(box, int)
        text += THING.format(kind, x0 + 1, y0 + 1, x1, y1)
    (root / f"Annotations/{name}.xml").write_text(f"<annotation>{text}</annotation>")


def add_birds(root: Path, shapes: Mapping[str, np.ndarray], noise: float) -> Path:
    """Pictures of one object each, blue on brown with noise, class 3 (bird), where its bool mask is True."""
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        image = np.where(shape[..., None], (40, 110, 160), (150, 100, 60))
        image = (image + rng.normal(0, noise, image.shape)).clip(0, 255).astype(np.uint8)
        rows, columns = np.nonzero(shape)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        add(root, name, image, [("bird", box)], shape * 3)
    return root
