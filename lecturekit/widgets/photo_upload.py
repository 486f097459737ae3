"""A button to choose a photograph of your own, which says what it is where no kernel runs."""

from __future__ import annotations

import datetime
import html
import mimetypes
from typing import Any

import numpy as np
from ipywidgets import HTML, Dropdown, FileUpload, HBox, VBox
from PIL import Image

from lecturekit.datasets.photos import keep_photo, load_photo, my_photos
from lecturekit.kit.images import encoded, html_image
from lecturekit.widgets._still import with_still

STILL = "Run this cell to choose a photograph of your own."
_NONE = "one of your earlier photos …"
_THUMBNAIL = 160  # pixels of its longer side


class PhotoUpload(VBox):
    """A file chooser for one photograph, with its name and a thumbnail below; give it to ``load_photo``.

    `value` is empty until something is chosen, so that a cell goes on without a person:
    ``image = load_photo(upload) if upload.value else photo("coffee")``. What was chosen is kept in the
    reader's own data folder, and every later chooser offers it again.

    Args:
        description: on the button.
    """

    def __init__(self, description: str = "Choose a photo") -> None:
        whole = {"width": "max-content"}  # the default width cuts the description off
        accept = "image/*,.heic,.heif"
        self.button = FileUpload(accept=accept, multiple=False, description=description, layout=whole)
        kept = list(my_photos())
        self.earlier = Dropdown(options=[_NONE, *kept], layout=whole | {"display": "" if kept else "none"})
        self.earlier.tooltip = "Photos that you have chosen before"
        self.said = HTML()
        super().__init__([HBox([self.button, self.earlier]), self.said])
        self.button.observe(lambda _: self._chosen(), "value")
        self.earlier.observe(lambda change: self._again(change["new"]), "value")

    @property
    def value(self) -> tuple[dict, ...]:
        """What ipywidgets' ``FileUpload`` holds: nothing, or one file with its name and content."""
        return self.button.value

    @value.setter
    def value(self, files: tuple[dict, ...]) -> None:
        self.button.value = files

    def _again(self, name: str) -> None:
        """Take an earlier photograph up."""
        path = my_photos().get(name)
        if path is None:
            return
        content = path.read_bytes()
        file = {
            "name": path.name,
            "type": mimetypes.guess_type(path.name)[0] or "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC),
        }
        self.value = (file,)

    def _chosen(self) -> None:
        """Show what was chosen, and keep it; or say why it is no photograph, and let it go."""
        if not self.value:
            return
        name = str(self.value[0]["name"])
        try:
            image = load_photo(self)
        except ValueError as error:
            self.said.value = _note(str(error))
            self.value = ()
            return
        height, width = image.shape[:2]
        scale = min(1, _THUMBNAIL / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = encoded(np.asarray(Image.fromarray(image).resize(size)), "JPEG", quality=80)
        picture = html_image(small, f"Your photograph {name}, small", mime="image/jpeg")
        caption = f"{html.escape(name)}, {width} × {height} pixels"
        self.said.value = (
            f"<figure style='margin: 0.3em 0'>{picture}<figcaption>{caption}</figcaption></figure>"
        )
        if name == f"{self.earlier.value}.jpg":
            return  # it is kept already
        try:
            keep_photo(image, name)
        except OSError as error:
            self.said.value += _note(f"It could not be kept for later chapters: {error.strerror or error}")

    def __repr__(self) -> str:
        return STILL

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The button, and one line of HTML for pages on which it cannot work."""
        return with_still(super()._repr_mimebundle_(**options), f"<p><em>{STILL}</em></p>", STILL)


def _note(text: str) -> str:
    bar = "border-left: 3px solid #d55e00; padding: 0.2em 0.6em; margin: 0.3em 0"
    return f'<p role="alert" style="{bar}">{html.escape(text)}</p>'
