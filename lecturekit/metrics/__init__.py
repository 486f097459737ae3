"""How good is a map, a box, a mask or a label? With the conventions of the literature."""

from .faithfulness import deletion, insertion, randomisation_check, road
from .labels import LabelQuality, label_quality
from .localisation import BoxAccuracy, box_accuracy, grid_pointing, pixel_average_precision, pointing_game
from .overlap import iou

__all__ = [
    "BoxAccuracy",
    "LabelQuality",
    "box_accuracy",
    "deletion",
    "grid_pointing",
    "insertion",
    "iou",
    "label_quality",
    "pixel_average_precision",
    "pointing_game",
    "randomisation_check",
    "road",
]
