"""What several test modules need; ``tests`` lies on the path of every test."""

import base64
import io
import os
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
#: The folder of real photographs; tests that need it skip where it is absent.
VOC = Path(os.environ.get("LECTUREKIT_VOC", ROOT.parent / "shared" / "data" / "voc2012_subset"))


def still_of(bundle: dict) -> Image.Image:
    """The still image of a widget's MIME bundle, which stands in its HTML."""
    return Image.open(io.BytesIO(base64.b64decode(bundle["text/html"].split("base64,")[1].split('"')[0])))
