"""What several test modules need; ``tests`` lies on the path of every test."""

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
#: The folder of real photographs; tests that need it skip where it is absent.
VOC = Path(os.environ.get("LECTUREKIT_VOC", ROOT.parent / "shared" / "data" / "voc2012_subset"))
#: Seconds that another process may take, on the slowest machine: a limit against waiting for ever.
LIMIT = 600


def printed(code: str, *arguments: str) -> str:
    """What a Python of its own prints; the test fails where it ends in an error."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT).stdout


def still_of(bundle: dict) -> Image.Image:
    """The still image of a widget's MIME bundle, which stands in its HTML."""
    return Image.open(io.BytesIO(base64.b64decode(bundle["text/html"].split("base64,")[1].split('"')[0])))
