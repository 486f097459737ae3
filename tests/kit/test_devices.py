"""The device is what is wanted where it is there, and something that works elsewhere."""

import pytest
import torch

from lecturekit.kit import devices
from lecturekit.kit.devices import pick_device


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends to a machine: number of CUDA devices, and whether MPS is there."""

    def pretend(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")]
)
def test_the_best_device_there_is(machine, cuda, mps, best):
    machine(cuda, mps)
    assert pick_device() == torch.device(best)


@pytest.mark.parametrize("wanted", ["cpu", "cuda", "cuda:1", torch.device("cuda", 0)])
def test_a_device_that_is_there_is_taken(machine, recwarn, wanted):
    machine(cuda=2)
    assert pick_device(wanted) == torch.device(wanted)
    assert not recwarn.list


@pytest.mark.parametrize("wanted", ["cuda", "cuda:2", "mps", "xpu"])
def test_an_absent_device_warns_and_goes_on(machine, wanted):
    machine(cuda=2 if wanted == "cuda:2" else 0)
    with pytest.warns(UserWarning, match=f"{wanted} is not available"):
        chosen = pick_device(wanted)
    assert chosen == devices.available()[0]


@pytest.mark.parametrize("wanted", ["gpu", "", "cuda:x", "cpu:-1"])
def test_a_name_that_is_no_device_is_an_error(wanted):
    with pytest.raises(ValueError, match="wanted"):
        pick_device(wanted)


def test_tensors_live_on_the_picked_device():
    device = pick_device()
    assert torch.ones(2, device=device).sum().item() == 2
