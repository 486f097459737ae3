"""From labels to a network that segments: features, heads, training, recipes, rounds."""

from . import bootstrap, data, features, heads, recipes, training, tricks
from .training import train

__all__ = ["bootstrap", "data", "features", "heads", "recipes", "train", "training", "tricks"]
