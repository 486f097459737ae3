"""Chapter 10: your own project, from a folder of pictures and a few hours to a network that segments.

project = new("photos", ["cat", "dog"])        # a file beside the pictures; some are set aside
...                                            # draw labels of any kind
trained = train(project)
report(project)                                # one HTML page
predict(project, "more photos", to="coco")
"""

from ._file import Picture, Project, Skipped, load, new, refresh
from ._train import train
from ._trained import Trained, trained

__all__ = ["Picture", "Project", "Skipped", "Trained", "load", "new", "refresh", "train", "trained"]
