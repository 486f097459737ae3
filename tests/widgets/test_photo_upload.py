"""The button for your own photograph."""

import datetime
import io

import numpy as np
from PIL import Image

from lecturekit.datasets.photos import load_photo
from lecturekit.widgets.photo_upload import STILL, PhotoUpload


def test_page_without_a_kernel_says_what_to_do():
    data, _ = PhotoUpload()._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
    assert data["text/plain"] == STILL
    assert STILL in data["text/html"]


def test_nothing_is_chosen_at_first():
    assert not PhotoUpload().value


def test_chosen_file_is_loaded():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    upload = PhotoUpload()
    upload.value = (
        {
            "name": "mine.png",
            "type": "image/png",
            "size": len(file.getvalue()),
            "content": memoryview(file.getvalue()),
            "last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        },
    )
    assert np.array_equal(load_photo(upload), image)
