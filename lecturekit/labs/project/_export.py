"""The student as one file that needs nothing of ours: preprocessing inside, pictures of any size."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...kit.checks import choice
from ...kit.storage import write_atomic
from ...learning.features import STRIDE
from ...models import MEAN, STD
from ._file import Project
from ._onnx import onnx_file
from ._trained import Trained, trained


class Exported(nn.Module):
    """A picture, uint8 ``(H, W, 3)``, -> probabilities of the classes, float32 ``(K, H, W)``.

    Args:
        network: traced, ``(1, 3, 8 h, 8 w)`` -> logits ``(1, K, h, w)``.
        side: longer side as the network sees it.
    """

    def __init__(self, network: nn.Module, side: int):
        super().__init__()
        self.network = network
        self.side: int = side
        self.stride: int = STRIDE
        self.mean: float = MEAN
        self.std: float = STD

    def forward(self, image: Tensor) -> Tensor:
        """The whole way of `predict`, but for the choice of the best class."""
        height, width = image.shape[0], image.shape[1]
        scale = self.side / max(height, width)
        # rounding half to even, as NumPy does
        rows = max(int(round(height * scale / self.stride)), 1) * self.stride  # noqa: RUF046
        columns = max(int(round(width * scale / self.stride)), 1) * self.stride  # noqa: RUF046
        x = image.permute(2, 0, 1).unsqueeze(0).float()
        if columns < width:
            x = torch.matmul(torch.matmul(self.shares(height, rows), x), self.shares(width, columns).t())
        else:
            x = F.interpolate(x, [rows, columns], mode="bicubic", align_corners=False)
        x = (x.round().clamp(0, 255) - self.mean) / self.std
        wide = F.interpolate(self.network(x), [height, width], mode="bilinear", align_corners=False)
        return wide[0].softmax(0)

    def shares(self, before: int, after: int) -> Tensor:
        """How much of each old pixel is in each new one, as a mean over areas has it: ``(after, before)``."""
        if after >= before:  # rounding to the grid can enlarge one side a little
            place = ((torch.arange(after) + 0.5) * (before / after) - 0.5).clamp(0, before - 1)
            return (1 - (place[:, None] - torch.arange(before)[None]).abs()).clamp(min=0)
        edges = torch.arange(after + 1, dtype=torch.float64) * (before / after)
        old = torch.arange(before, dtype=torch.float64)
        common = torch.minimum(edges[1:, None], old[None] + 1) - torch.maximum(edges[:-1, None], old[None])
        return (common.clamp(min=0) * (after / before)).float()


#: Formats of `export`, and the endings of files by which each is known.
FORMATS = {"torchscript": (".pt", ".pth", ".ts", ".torchscript"), "onnx": (".onnx",)}


def export(project: Project, path: str | Path, to: str | None = None) -> Path:
    """Write the student as one file with its preprocessing inside, for pictures of any size.

    - ``torchscript``: ``torch.jit.load(path)(image)`` with uint8 RGB ``(H, W, 3)`` gives probabilities,
      float32 ``(K, H, W)``, background first. The file also holds ``classes.json``, the names in this order.
      Newer versions of torch warn that the format is an old one, and read it.
    - ``onnx``: ``image`` -> ``probabilities``, the same numbers without PyTorch (opset 17, float32); the
      names stand in the metadata as ``classes``. Writing it needs the extra ``export``.

    The picture must be upright RGB: a program that reads files turns photographs by their EXIF entry first.

    Args:
        project: with a student.
        path: of the file.
        to: ``"torchscript"`` or ``"onnx"``. None: as the file's ending says.

    Returns:
        The path.

    Raises:
        FileNotFoundError: no student yet.
        ValueError: another format, an ending that tells none, a damaged student.
        ImportError: the package onnx is not installed.
        OSError: the file cannot be written.
    """
    to = choice("to", format_of(path) if to is None else to, FORMATS)
    found = trained(project)
    return write_atomic(path, onnx_file(found) if to == "onnx" else _torchscript(found))


def format_of(path: str | Path) -> str:
    """The format that a file's ending tells.

    Args:
        path: of the file.

    Raises:
        ValueError: it tells none.

    Example:
        >>> format_of("student.pt"), format_of("student.onnx")
        ('torchscript', 'onnx')
    """
    ending = Path(path).suffix.lower()
    for name, endings in FORMATS.items():
        if ending in endings:
            return name
    known = ", ".join(one for endings in FORMATS.values() for one in endings)
    raise ValueError(f"path must end in one of {known}, or to must say the format, got {str(path)!r}")


def _torchscript(found: Trained) -> bytes:
    network = found.network("cpu").requires_grad_(False)
    example = torch.zeros(1, 3, 9 * STRIDE, 11 * STRIDE)
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing, which keeps what depends on the size as such
        traced = torch.jit.trace(network, example, check_trace=False)
        whole = torch.jit.script(Exported(traced, found.side))
        buffer = io.BytesIO()
        torch.jit.save(whole, buffer, _extra_files={"classes.json": json.dumps(list(found.classes))})
    return buffer.getvalue()
