"""What people draw: prices, shapes, boxes and label maps, and the files of other tools."""

from . import boxes, costs, interchange, label_file, shapes

__all__ = ["boxes", "costs", "interchange", "label_file", "shapes"]
