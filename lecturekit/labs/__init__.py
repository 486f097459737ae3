"""What a notebook plays with and no other module needs."""

from . import interactive, ladder, levels, project, route, rung, simulated, stopwatch

__all__ = ["interactive", "ladder", "levels", "project", "route", "rung", "simulated", "stopwatch"]
