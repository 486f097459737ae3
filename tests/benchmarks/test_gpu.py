"""Methods on a GPU: the answers of the CPU. The cases themselves run everywhere."""

import pytest
import torch

from lecturekit.benchmarks import gpu
from lecturekit.benchmarks.gpu import ABSENT, CASES, difference

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason=ABSENT)


@pytest.mark.parametrize("name", CASES)
def test_a_picture_is_answered_alike_alone_and_among_others(name):
    """What a batch on a GPU relies on; and each case runs where there is no card."""
    case = CASES[name]
    alone, together = (case.prepare(CPU, count, 64)().detach() for count in (1, 3))
    assert alone.isfinite().all()
    assert together.shape == (3, *alone.shape[1:])
    torch.testing.assert_close(together[:1], alone, atol=case.tolerance, rtol=0)
    assert case.bytes(128) > 2 * case.bytes(64) > 0


@needs_cuda
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_answers_as_the_cpu(name):
    case = CASES[name]
    assert difference(case, CPU, torch.device("cuda"), 128) <= case.tolerance


@needs_cuda
def test_the_table_has_every_case():
    text = gpu.run(rounds=1, side=128)
    assert all(f"| {name} |" in text for name in CASES)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_card_one_line_says_so():
    assert gpu.run() == ABSENT


def test_answers_are_compared_in_full_precision():
    """TF32 is off while both work, and afterwards as it was."""
    seen = []

    def prepare(device, count, side):
        return lambda: seen.append(torch.backends.cudnn.allow_tf32) or torch.zeros(1)

    before = torch.backends.cudnn.allow_tf32
    assert difference(gpu.Case(prepare, float, 0.0, 1), CPU, CPU, 8) == 0
    assert seen == [False, False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_time_is_that_of_the_work():
    calls = []
    assert gpu.seconds(lambda: calls.append(1) or torch.zeros(1), CPU, 3) >= 0
    assert len(calls) == 4


def test_a_copy_moves_each_byte_twice(monkeypatch):
    monkeypatch.setattr(gpu, "seconds", lambda work, device, rounds: 0.5)
    assert gpu.copy_bandwidth(CPU, megabytes=1) == 2 * 2**20 / 0.5
