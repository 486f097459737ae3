"""Chapter 10: your own project, from a folder of pictures and a few hours to a network that segments.

project = new("photos", ["cat", "dog"])        # a file beside the pictures; some are set aside
...                                            # draw labels of any kind
trained = train(project)
report(project)                                # one HTML page
predict(project, "more photos", to="coco")
"""

from ._file import Picture, Project, Skipped, load, new, refresh

__all__ = ["Picture", "Project", "Skipped", "load", "new", "refresh"]
