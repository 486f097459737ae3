"""What a notebook plays with and no other module needs."""

from . import ladder, levels, project, route, rung, simulated, stopwatch

__all__ = ["ladder", "levels", "project", "route", "rung", "simulated", "stopwatch"]
