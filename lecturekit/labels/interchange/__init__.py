"""Labels to and from the files of other tools: COCO, PASCAL VOC, labelme, YOLO, CVAT and plain PNG masks.

What another tool has no place for (how many milliseconds a label took, four extreme clicks, a scribble) is
kept under the key or tag ``lecturekit``, which other tools pass over, so that a round trip loses nothing; for
YOLO in a file of its own, and for plain masks not at all. Where another tool changed the standard part (of an
object in COCO, of a picture elsewhere), that is believed.

Files may come from anywhere. One that is too large, not of its format, or names things that cannot be is
refused with ``ValueError``, which says what came and what was wanted, before anything is made of it. Every
reader also takes ``on_error="skip"`` and leaves out only the entries that are not in order:

    found = read_coco("labels.json", on_error="skip")
    pictures, classes = found
    print(found.report)  # how many labels were kept, and what was left out and why
"""

from . import coco, cvat, labelme, masks, voc, yolo
from ._common import Labelled, LeftOut, Read, Report, checked_names, checked_path, checked_picture, safe_path
from .coco import decode_counts, from_coco, read_coco, to_coco, write_coco
from .cvat import read_cvat, write_cvat
from .labelme import from_labelme, read_labelme, read_labelme_folder, to_labelme, write_labelme
from .masks import read_masks, write_masks
from .voc import read_voc, write_voc
from .yolo import read_yolo, write_yolo

__all__ = [
    "Labelled",
    "LeftOut",
    "Read",
    "Report",
    "checked_names",
    "checked_path",
    "checked_picture",
    "coco",
    "cvat",
    "decode_counts",
    "from_coco",
    "from_labelme",
    "labelme",
    "masks",
    "read_coco",
    "read_cvat",
    "read_labelme",
    "read_labelme_folder",
    "read_masks",
    "read_voc",
    "read_yolo",
    "safe_path",
    "to_coco",
    "to_labelme",
    "voc",
    "write_coco",
    "write_cvat",
    "write_labelme",
    "write_masks",
    "write_voc",
    "write_yolo",
    "yolo",
]
