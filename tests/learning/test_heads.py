"""Heads: shapes, seeds, and how far each one looks."""

import pytest
import torch
from torch.nn import functional as F

from lecturekit.learning.heads import HEADS, make_head


@pytest.mark.parametrize("kind", HEADS)
def test_heads(kind):
    x = torch.randn(2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    a, b, other = (make_head(kind, 5, 3, hidden=8, seed=s).eval() for s in (1, 1, 2))
    assert a(x).shape == (2, 3, 4, 6)
    assert torch.equal(a(x), b(x))
    assert not torch.equal(a(x), other(x))
    moved = x.clone()
    moved[:, :, 0, 0] += 1
    changed = (a(moved) - a(x)).abs().amax(1)[0] > 1e-6
    assert changed[0, 0]
    assert changed.sum() == 1 if kind != "context" else changed.all()


def test_context_does_not_count_what_is_beyond_a_picture():
    head = make_head("context", 5, 3, hidden=8).eval()
    x = torch.randn(1, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(F.pad(x, (0, 9, 0, 9)))[..., :4, :6], head(x))
