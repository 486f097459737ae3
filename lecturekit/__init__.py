"""From Class to Pixels: what the notebooks of the course import.

Each module holds one idea of the lecture; start with :mod:`lecturekit.evidence` (which pixels speak for a
class?) or run ``python -m lecturekit doctor`` to see whether the course can run here.
"""

__version__ = "0.2.0"
