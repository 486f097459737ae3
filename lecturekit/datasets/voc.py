"""A folder in the layout of PASCAL VOC: photographs, class masks, boxes. Nothing is downloaded.

Everingham et al., "The PASCAL visual object classes (VOC) challenge", IJCV 2010. The photographs are under
Flickr's terms, for research; keep them out of anything you publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..kit.checks import shortened, whole
from ..kit.files import read_bytes, read_xml
from ..labels.interchange._common import naming, number
from ..labels.interchange.masks import read_map
from ..labels.interchange.voc import SIDES

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
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]

    @property
    def labels(self) -> set[int]:
        """The classes in the mask, without background and void."""
        return set(np.unique(self.mask).tolist()) - {0, 255}


class VOC:
    """The pictures of one split, read when they are asked for: ``len(voc)``, ``voc[i]``, iteration.

    Masks may be in VOC's colours, as some tools save them. What is wrong with a picture's files is said, with
    the file's name, when it is asked for.

    Args:
        root: folder with JPEGImages, SegmentationClass, Annotations and ImageSets/Segmentation.
        split: name of a list in ImageSets/Segmentation, such as "train".

    Raises:
        FileNotFoundError: a part of the layout is missing, by name.
    """

    def __init__(self, root: str | Path, split: str = "train"):
        self.root = Path(root).expanduser()
        listed = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        folders = (self.root / name for name in ("JPEGImages", "SegmentationClass", "Annotations"))
        for part in (listed, *folders):
            if not part.exists():
                raise FileNotFoundError(f"root is no VOC folder: there is no {part}")
        self.names = listed.read_text(encoding="utf-8").split()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Picture:
        """One picture. Raises ``ValueError`` with the name of a file that is not in order."""
        image = self.image(index)
        return Picture(self.names[index], image, self.mask(index), *self.objects(index))

    def image(self, index: int) -> NDArray[np.uint8]:
        """One photograph alone, uint8 RGB ``(H, W, 3)``."""
        return _image(self.root / "JPEGImages" / f"{self.names[index]}.jpg")

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of a photograph, without reading its pixels."""
        with Image.open(self.root / "JPEGImages" / f"{self.names[index]}.jpg", formats=["JPEG"]) as file:
            return file.height, file.width

    def mask(self, index: int) -> NDArray[np.uint8]:
        """The mask alone, uint8 ``(H, W)``, of the photograph's size."""
        return read_mask(self.root / "SegmentationClass" / f"{self.names[index]}.png", self.size(index))

    def objects(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Boxes and classes alone: they are there for more pictures than masks are."""
        return _objects(self.root / "Annotations" / f"{self.names[index]}.xml")


def read_mask(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A mask of VOC's classes, uint8 ``(H, W)``.

    Args:
        path: a PNG of numbers of classes, or of VOC's colours.
        size: height and width that it must have; None: any.

    Raises:
        FileNotFoundError: there is none.
        ValueError: no sound PNG, one of another size, or one with other classes; the file is named.
    """
    with naming(f"{path.parent.name}/{path.name}"):
        mask = read_map(read_bytes(path), size)
        strange = set(np.unique(mask).tolist()) - {*range(len(CLASSES)), 255}
        if strange:
            raise ValueError(f"classes must be 0..{len(CLASSES) - 1} or 255, got {sorted(strange)[:8]}")
    return mask


def shrunk(picture: Picture, side: int) -> Picture:
    """The picture with its longer side at most `side` pixels, its mask and its boxes with it.

    Args:
        picture: of any size.
        side: at least 1.

    Raises:
        ValueError: another `side`.
    """
    height, width = picture.mask.shape
    scale = min(1.0, whole("side", side, 1) / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Picture(
        picture.name,
        np.asarray(cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA), np.uint8),
        np.asarray(cv2.resize(picture.mask, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8),
        picture.boxes * np.tile(np.divide(size, (width, height)), 2),
        picture.classes,
    )


def _image(path: Path) -> NDArray[np.uint8]:
    """A JPEG as uint8 RGB, not turned: VOC's masks lie on the pixels as they are stored."""
    try:
        with Image.open(path, formats=["JPEG"]) as file:
            return np.array(file.convert("RGB"))
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow meets damage with errors of many kinds
        raise ValueError(f"JPEGImages/{path.name} is no sound JPEG: {error}") from error


def _objects(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes, half open and from 0, and classes of a VOC annotation."""
    boxes, classes = [], []
    with naming(f"Annotations/{path.name}"):
        for k, thing in enumerate(read_xml(path).iter("object"), 1):
            with naming(f"object {k}"):
                x0, y0, x1, y1 = (number(thing.findtext(f"bndbox/{side}"), side) for side in SIDES)
                name = (thing.findtext("name") or "").strip()
                if name not in CLASSES[1:]:
                    raise ValueError(f"name must be one of VOC's classes, got {shortened(name)}")
                if not (x0 <= x1 and y0 <= y1):
                    raise ValueError(f"box must have min <= max, got {[x0, y0, x1, y1]}")
                boxes.append((x0 - 1, y0 - 1, x1, y1))
                classes.append(CLASSES.index(name))
    return np.array(boxes, np.float64).reshape(-1, 4), np.array(classes, np.int64)
