"""A button to choose a photograph of your own, which says what it is where no kernel runs."""

from __future__ import annotations

from ipywidgets import FileUpload

from lecturekit.widgets._still import with_still

STILL = "Run this cell to choose a photograph of your own."


class PhotoUpload(FileUpload):
    """ipywidgets' ``FileUpload`` for one picture; give it, or its value, to ``load_photo``.

    ``upload.value`` is empty until something is chosen, so that a cell goes on without a person:
    ``image = load_photo(upload) if upload.value else photo("coffee")``.
    """

    def __init__(self, description: str = "Choose a photo") -> None:
        whole = {"width": "max-content"}  # the default width cuts the description off
        super().__init__(accept="image/*", multiple=False, description=description, layout=whole)

    def __repr__(self) -> str:
        return STILL

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
        """The button, and one line of HTML for pages on which it cannot work."""
        return with_still(super()._repr_mimebundle_(**options), f"<p><em>{STILL}</em></p>", STILL)
