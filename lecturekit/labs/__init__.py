"""What a notebook plays with and no other module needs."""

from . import ladder, levels, project, route, simulated, stopwatch

__all__ = ["ladder", "levels", "project", "route", "simulated", "stopwatch"]
