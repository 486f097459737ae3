"""Slow, run weekly: all of torchvision's classifiers and 150 timm families, with random weights.

At the default layer a map is right or the network is refused: never a crash, never a wrong map, no trace.
"""

from __future__ import annotations

import functools

import pytest
import timm
import torch
import torchvision
from torch import nn

from lecturekit.evidence import cam, grad_cam

pytestmark = pytest.mark.slow
FAMILIES = 150
#: Networks of gigabytes, which show nothing that their smaller kin do not.
LARGE = (
    "giant",
    "huge",
    "gigantic",
    "enormous",
    "xxl",
    "xlarge",
    "so400m",
    "128gf",
    "_h_14",
    "7b",
    "_1b",
    "_2b",
    "_5b",
)


def torchvision_names() -> list[str]:
    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if not any(part in name for part in LARGE)]


@functools.cache
def timm_names() -> list[str]:
    """The first network of each family, by the module that defines it and the first word of its name."""
    found: dict[tuple[str, str], str] = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            if not any(part in name for part in LARGE):
                found.setdefault((module, name.split("_")[0]), name)
    names = sorted(found.values())
    return names[:: max(1, len(names) // FAMILIES)][:FAMILIES]


def check(network: nn.Module, size: int) -> None:
    torch.manual_seed(0)
    network.train()
    images = torch.randn(2, 3, size, size)
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    refused = []
    maps = {}
    for method in (cam, grad_cam):
        try:
            maps[method] = method(network, images, [1, 3]).maps
        except ValueError as error:
            refused.append(str(error))
    assert all(module.training for module in network.modules() if not isinstance(module, nn.Identity))
    assert all(b.equal(buffers[name]) for name, b in network.named_buffers())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    if len(maps) == 2:
        a, b = maps[cam], maps[grad_cam] * maps[grad_cam][0].numel()
        assert float((a - b).norm() / a.norm()) < 1e-3
    assert all("layer must be named" in r or "cam needs a network" in r or "logits" in r for r in refused), (
        refused
    )


@pytest.mark.parametrize("name", torchvision_names())
def test_torchvision(name):
    options = {"init_weights": False} if name in {"inception_v3", "googlenet"} else {}
    size = {"inception_v3": 128}.get(name, 224 if name.startswith(("vit", "maxvit")) else 96)
    check(torchvision.models.get_model(name, num_classes=6, **options), size)


@pytest.mark.parametrize("number", range(FAMILIES))
def test_timm(number):
    if number >= len(timm_names()):
        pytest.skip("this timm has fewer families")
    network = timm.create_model(timm_names()[number], num_classes=6)
    needed = network.default_cfg["input_size"][1]
    fixed = network.default_cfg.get("fixed_input_size") or not hasattr(network, "set_input_size")
    check(network, needed if fixed else min(needed, 224))
