"""What training gives: the students of a project, kept in one file beside it."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...kit.devices import pick_device
from ...kit.storage import write_atomic
from ...learning.features import Backbone, Features, reducing_layer
from ...learning.heads import make_head
from ...learning.networks import make_network
from ...learning.student import Student
from ...learning.training import Settings
from ...models import load_classifier
from ._file import Project

#: Of the file; one of another edition is trained anew.
VERSION = 2


@dataclass(frozen=True, eq=False)
class Trained:
    """The students of a project.

    Attributes:
        classes: names, background first.
        side: longer side of a picture as the network sees it.
        settings: of the training.
        students: one a seed; their logits are averaged.
        halves: two heads that learned from half of the pictures each; none where there are too few.
        mean: of the features, ``(C',)``.
        matrix: of their reduction, ``(C', C)``.
        facts: what the report tells: labels by kind, pictures, seeds, seconds of CPU, temperature, and of
            what was drawn on each picture a digest, by the picture's content.
    """

    classes: tuple[str, ...]
    side: int
    settings: Settings
    students: tuple[Student, ...]
    halves: tuple[Student, ...]
    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    facts: dict[str, Any] = field(default_factory=dict)

    def probabilities(
        self, features: Features, sizes: list[tuple[int, int]] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """What the students say of each picture together, float32 ``(K, H, W)``, one after the other.

        Args:
            features: of the pictures.
            sizes: of the answers; None: the pictures' own.
        """
        for some in zip(*(one.probabilities(features, sizes=sizes) for one in self.students), strict=True):
            yield together(some)

    def network(self, device: str | torch.device | None = None) -> Segmenter:
        """All of it in one network: pictures -> logits.

        Args:
            device: where to put it.
        """
        where = pick_device(device)
        heads: list[nn.Module] = []
        backbones: list[nn.Module] = []
        for one in self.students:
            *before, head = one.module.children() if self.settings.finetune else [one.module]
            backbones += [fused(copy.deepcopy(part)) for part in before]
            heads.append(Shifted(head, one.offset))
        if not backbones:
            backbones = [fused(backbone_of(self.mean, self.matrix))]
        return Segmenter(backbones, heads).eval().to(where)


def fused(network: nn.Module) -> nn.Module:
    """The network with each batch norm in the convolution before it: the same answers in less time.

    Args:
        network: in which the two are neighbours, in evaluation mode; it is changed.
    """
    for parent in list(network.modules()):
        before = None
        for name, part in list(parent.named_children()):
            if isinstance(before, nn.Conv2d) and isinstance(part, nn.BatchNorm2d):
                whole = fuse_conv_bn_eval(before, part)
                before.weight, before.bias = whole.weight, whole.bias
                setattr(parent, name, getattr(part, "act", nn.Identity()))
            before = part
    return network.eval()


class Shifted(nn.Module):
    """A head, less the offsets of its student.

    Args:
        head: features -> logits.
        offset: of each class, ``(K,)``.
    """

    def __init__(self, head: nn.Module, offset: Tensor):
        super().__init__()
        self.head = head
        self.register_buffer("offset", offset.reshape(1, -1, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Features -> logits."""
        return self.head(x) - self.get_buffer("offset")


class Segmenter(nn.Module):
    """Pictures as the backbone takes them, ``(B, 3, 8 h, 8 w)``, -> the students' logits.

    Args:
        backbones: one for all, or one a student.
        heads: one a student.
    """

    def __init__(self, backbones: list[nn.Module], heads: list[nn.Module]):
        super().__init__()
        self.backbones = nn.ModuleList(backbones)
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, K, h, w)``: the mean over the students."""
        if len(self.backbones) == 1:
            features = self.backbones[0](x)
            return torch.stack([head(features) for head in self.heads]).mean(0)
        pairs = zip(self.backbones, self.heads, strict=True)
        return torch.stack([head(backbone(x)) for backbone, head in pairs]).mean(0)


def together(probabilities: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What several students say together, ``(K, H, W)``: as if their logits were averaged.

    Args:
        probabilities: of each student, ``(K, H, W)``.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    shares = np.exp(np.mean([np.log(np.maximum(one, 1e-30)) for one in probabilities], axis=0))
    return shares / shares.sum(0)


def answer(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Probabilities at a picture's size: ``(K, h, w)`` -> ``(K, H, W)``.

    Args:
        logits: of one picture.
        size: height and width.
    """
    wide = F.interpolate(logits[None].float(), size, mode="bilinear", align_corners=False)
    return wide[0].softmax(0)


def backbone_of(mean: NDArray[np.float32], matrix: NDArray[np.float32]) -> Backbone:
    """The frozen network with its reduction.

    Args:
        mean: as in `Trained`.
        matrix: as in `Trained`.
    """
    backbone = Backbone(load_classifier(device="cpu").network)
    backbone.reduce = reducing_layer(mean, matrix)
    return backbone.eval()


def save(project: Project, trained: Trained) -> Path:
    """Keep it beside the project file.

    Args:
        project: whose.
        trained: what `train` gives.
    """
    about = {
        "classes": list(trained.classes),
        "side": trained.side,
        "settings": asdict(trained.settings),
        "facts": trained.facts,
    }
    content = {
        "version": VERSION,
        "about": json.dumps(about),
        "mean": torch.from_numpy(trained.mean.copy()),
        "matrix": torch.from_numpy(trained.matrix.copy()),
        "students": [_state(one) for one in trained.students],
        "halves": [_state(one) for one in trained.halves],
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return write_atomic(project.beside("student") / "student.pt", buffer.getvalue())


def _state(student: Student) -> dict[str, Any]:
    return {"state": student.module.state_dict(), "offset": student.offset}


def trained(project: Project) -> Trained:
    """What `train` kept.

    Args:
        project: whose.

    Raises:
        FileNotFoundError: nothing was trained yet.
        ValueError: the file is damaged, of another edition, or of other classes.
    """
    file = project.beside("student") / "student.pt"
    if not file.is_file():
        raise FileNotFoundError(f"{project.path.name} has no student yet; train first (project.train)")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        found = _restored(content)
    except Exception as error:  # torch.load meets damage with errors of many kinds
        raise ValueError(f"{file.name} cannot be read ({error!s:.200}); train again") from None
    if len(found.classes) != 1 + len(project.classes):
        raise ValueError(
            f"{file.name} knows {len(found.classes) - 1} classes and the project {len(project.classes)}; "
            "train again (project.train)"
        )
    return replace(found, classes=("background", *project.classes))  # a class may have another name by now


def _restored(content: dict[str, Any]) -> Trained:
    about = json.loads(content["about"])
    settings = Settings(**about["settings"])
    mean, matrix = content["mean"].numpy(), content["matrix"].numpy()
    classes = tuple(about["classes"])

    def student(kept: dict[str, Any], whole: bool) -> Student:
        if whole:
            module: nn.Module = make_network(
                "efficientnet_lite0",
                len(classes),
                reduction=(mean, matrix),
                head=settings.head,
                hidden=settings.hidden,
            )
        else:
            module = make_head(settings.head, matrix.shape[1], len(classes), settings.hidden)
        module.load_state_dict(kept["state"])
        return Student(module, len(classes), whole, kept["offset"])

    students = tuple(student(one, settings.finetune) for one in content["students"])
    halves = tuple(student(one, False) for one in content["halves"])
    return Trained(classes, about["side"], settings, students, halves, mean, matrix, about["facts"])
