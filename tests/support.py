"""What several test modules need; ``tests`` lies on the path of every test."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The folder of real photographs; tests that need it skip where it is absent.
VOC = Path(os.environ.get("LECTUREKIT_VOC", ROOT.parent / "shared" / "data" / "voc2012_subset"))
