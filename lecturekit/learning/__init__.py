"""From labels to a network that segments: features, heads, training, recipes, rounds, several devices."""

from . import bootstrap, data, features, heads, label_files, networks, recipes, scale, training, tricks
from .scale import finetune
from .training import train

__all__ = [
    "bootstrap",
    "data",
    "features",
    "finetune",
    "heads",
    "label_files",
    "networks",
    "recipes",
    "scale",
    "train",
    "training",
    "tricks",
]
