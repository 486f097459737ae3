"""Generated pictures with every kind of label, exact to the pixel.

`scene` gives a picture with its class mask, instance mask, boxes, image labels, caption, clicks and
scribbles; `clip` gives frames with true motion; `Annotator` and the ``weak_*`` functions give the same labels
as a person would, mistakes and all; `Scenes` is a torch data set. Nothing is downloaded or stored: scene
``index`` of set ``seed`` comes out the same on every platform, some milliseconds after it is asked for.
"""

from .captions import read as read_caption
from .generate import Clip, Scene, clip, scene
from .kinds import BACKGROUNDS, CLASSES, COLOURS, KINDS
from .sets import SPLITS, VOC, Scenes, Statistics, collate, multi_hot, split_index, statistics
from .weak import Annotator, noticed, weak_boxes, weak_caption, weak_clicks, weak_labels, weak_scribbles
from .world import VERSION, Parameters

__all__ = [
    "BACKGROUNDS",
    "CLASSES",
    "COLOURS",
    "KINDS",
    "SPLITS",
    "VERSION",
    "VOC",
    "Annotator",
    "Clip",
    "Parameters",
    "Scene",
    "Scenes",
    "Statistics",
    "clip",
    "collate",
    "multi_hot",
    "noticed",
    "read_caption",
    "scene",
    "split_index",
    "statistics",
    "weak_boxes",
    "weak_caption",
    "weak_clicks",
    "weak_labels",
    "weak_scribbles",
]
