"""The button for your own photograph."""

import datetime

import numpy as np
import pytest

from lecturekit.datasets.photos import load_photo, my_photos
from lecturekit.kit.images import encoded
from lecturekit.widgets import photo_upload
from lecturekit.widgets.photo_upload import STILL, PhotoUpload


def test_page_without_a_kernel_says_what_to_do():
    data, _ = PhotoUpload()._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
    assert data["text/plain"] == STILL
    assert STILL in data["text/html"]


def test_nothing_is_chosen_at_first():
    assert not PhotoUpload().value


pytestmark = pytest.mark.usefixtures("own_folder")


IMAGE = np.add.outer(np.arange(50), np.arange(70))[..., None].repeat(3, 2).astype(np.uint8)


def file(content: bytes, name: str = "my cat.png") -> dict:
    """A file as the browser sends it."""
    return {
        "name": name,
        "type": "image/png",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    }


def test_chosen_file_is_loaded_shown_and_kept_for_every_chapter():
    upload = PhotoUpload()
    assert upload.earlier.layout.display == "none"
    upload.value = (file(encoded(IMAGE)),)
    assert np.array_equal(load_photo(upload), IMAGE)
    assert "my cat.png, 70 × 50 pixels" in upload.said.value
    assert "<img alt=" in upload.said.value

    later = PhotoUpload()  # in another chapter
    assert later.earlier.options[1:] == ("my-cat",)
    assert not later.value
    before = my_photos()["my-cat"].read_bytes()
    later.earlier.value = "my-cat"
    assert my_photos()["my-cat"].read_bytes() == before, "not encoded once more at each use"
    again = load_photo(later)
    assert again.shape == IMAGE.shape
    assert np.abs(again.astype(int) - IMAGE).max() < 8, "kept as a JPEG of high quality"


def test_a_file_that_is_no_picture_is_named_and_let_go(own_folder):
    upload = PhotoUpload()
    upload.value = (file(b"<b>no picture", "notes <1>.heic"),)
    assert "notes &lt;1&gt;.heic is not a picture that can be read here" in upload.said.value
    assert "pillow-heif" in upload.said.value
    assert not upload.value
    assert not (own_folder / "photos").exists()


def test_a_folder_that_cannot_be_written_does_not_matter(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(photo_upload, "keep_photo", refuse)
    upload = PhotoUpload()
    upload.value = (file(encoded(IMAGE)),)
    assert np.array_equal(load_photo(upload), IMAGE)
    assert "could not be kept for later chapters: No space left on device" in upload.said.value
