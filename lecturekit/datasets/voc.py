"""A folder in the layout of PASCAL VOC: photographs, class masks, boxes. Nothing is downloaded.

Everingham et al., "The PASCAL visual object classes (VOC) challenge", IJCV 2010. The photographs are under
Flickr's terms, for research; keep them out of anything you publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from defusedxml import ElementTree
from PIL import Image

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataclass(frozen=True)
class Picture:
    """One photograph with its labels.

    Attributes:
        name: the file's name without its ending.
        image: uint8 RGB ``(H, W, 3)``.
        mask: uint8 ``(H, W)``: 0 background, 1..20 classes, 255 void.
        boxes: float64 ``(N, 4)`` as x0, y0, x1, y1, half open, from 0 (VOC's own are inclusive, from 1).
        classes: int64 ``(N,)``, 1..20: the class of each box.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray

    @property
    def labels(self) -> set[int]:
        """The classes in the mask, without background and void."""
        return set(np.unique(self.mask).tolist()) - {0, 255}


class VOC:
    """The pictures of one split, read when they are asked for: ``len(voc)``, ``voc[i]``, iteration.

    Args:
        root: folder with JPEGImages, SegmentationClass, Annotations and ImageSets/Segmentation.
        split: name of a list in ImageSets/Segmentation, such as "train".

    Raises:
        FileNotFoundError: a part of the layout is missing, by name.
    """

    def __init__(self, root: str | Path, split: str = "train"):
        self.root = Path(root).expanduser()
        listed = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        for part in (
            listed,
            *(self.root / name for name in ("JPEGImages", "SegmentationClass", "Annotations")),
        ):
            if not part.exists():
                raise FileNotFoundError(f"root is no VOC folder: there is no {part}")
        self.names = listed.read_text(encoding="utf-8").split()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Picture:
        name = self.names[index]
        with Image.open(self.root / "JPEGImages" / f"{name}.jpg") as file:
            image = np.array(file.convert("RGB"))
        with Image.open(self.root / "SegmentationClass" / f"{name}.png") as file:
            mask = np.array(file)  # palette indices are the classes
        return Picture(name, image, mask, *_objects(self.root / "Annotations" / f"{name}.xml"))


def shrunk(picture: Picture, side: int) -> Picture:
    """The picture with its longer side at most `side` pixels, its mask and its boxes with it."""
    height, width = picture.mask.shape
    scale = min(1.0, side / max(height, width))
    size = round(width * scale), round(height * scale)
    return Picture(
        picture.name,
        cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA),
        cv2.resize(picture.mask, size, interpolation=cv2.INTER_NEAREST_EXACT),
        picture.boxes * np.tile(np.divide(size, (width, height)), 2),
        picture.classes,
    )


def _objects(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, half open and from 0, and classes of a VOC annotation."""
    boxes, classes = [], []
    for thing in ElementTree.parse(path).iter("object"):
        x0, y0, x1, y1 = (float(thing.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append((x0 - 1, y0 - 1, x1, y1))
        classes.append(CLASSES.index(thing.findtext("name")))
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, np.int64)
