"""The optimiser without torch's compiler: the same weights, and nothing of the compiler is loaded."""

import torch
from support import printed
from torch import nn

from lecturekit.kit.optimisers import AdamW


def weights_after(kind, steps=12):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    first, last = module[0], module[2]
    parts = [{"params": list(first.parameters()), "lr": 0.01}, {"params": list(last.parameters()), "lr": 0.1}]
    optimiser = kind(parts, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 1 / (k + 1))
    for _ in range(steps):
        loss = module(torch.randn(4, 5)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return torch.cat([p.detach().flatten() for p in module.parameters()]), optimiser.state_dict()


def test_same_weights_and_state_as_torchs():
    ours, our_state = weights_after(AdamW)
    theirs, their_state = weights_after(torch.optim.AdamW)
    assert torch.equal(ours, theirs)
    assert our_state["param_groups"] == their_state["param_groups"]
    for k, kept in their_state["state"].items():
        assert all(torch.equal(our_state["state"][k][name], value) for name, value in kept.items())


def test_a_step_needs_no_compiler_and_the_course_none_of_its_slow_or_rare_packages():
    code = """
import sys, torch
import lecturekit.exercises, lecturekit.labs, lecturekit.learning, lecturekit.widgets
from lecturekit.kit.optimisers import AdamW
weight = torch.ones(2, requires_grad=True)
optimiser = AdamW([weight], lr=0.1)
torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 1.0)
optimiser.zero_grad()
weight.sum().backward()
optimiser.step()
assert torch.is_grad_enabled()
print({"torch._dynamo", "torchvision", "timm", "higra"} & set(sys.modules))
"""
    assert printed(code) == "set()\n"
