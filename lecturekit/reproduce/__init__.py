"""Experiments of papers, declared as a grid and run in steps that go on after any break.

``python -m lecturekit reproduce simple-does-it --data VOC --out RUNS`` makes the labels of every recipe,
trains a network on each (recipes, rounds, seeds), measures it, and writes one table beside the paper's. Every
step leaves a file or a folder; what is there is not made again. Under ``fabric run``, torchrun or SLURM all
processes take the same steps: they train together, and share out the pictures in between.
"""

from .budget import dry_run
from .run import Run, planned, reproduce

__all__ = ["Run", "dry_run", "planned", "reproduce"]
