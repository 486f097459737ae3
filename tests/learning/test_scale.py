"""Whole networks: what a step sees, and that one process, two, or one after the other learn the same."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lecturekit.benchmarks.gpu import ABSENT
from lecturekit.learning import networks, scale
from lecturekit.learning.features import Pictures
from lecturekit.learning.networks import Network
from lecturekit.learning.scale import Examples, ShardedBatches, Spread, finetune
from lecturekit.learning.settings import Checkpoint, Settings
from lecturekit.learning.training import train
from lecturekit.models import MEAN, STD

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A network that costs nothing, with batch norm and both kinds of dropout."""

    def make(classes):
        layers = [nn.Conv2d(3, 8, 8, 8), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout2d(0.3)]
        return Network(nn.Sequential(*layers), nn.Sequential(nn.Dropout(0.3), nn.Conv2d(8, classes, 1)))

    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(networks.NETWORKS, "tiny", make)


STARTED = (*scale.STARTERS, "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR")
QUICK = {"network": "tiny", "side": 64, "crop": 48, "epochs": 3, "batch": 2, "lr": 0.02, "device": "cpu"}


@pytest.fixture
def five(halves):
    images, masks = zip(*(halves(seed=k) for k in range(5)), strict=True)
    masks[1][:20] = 255  # steps differ in their labelled pixels
    return list(images), list(masks)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_shards_cover_each_picture_once_in_the_steps_of_one_process(count, batch, world, seed, epoch):
    shards = [ShardedBatches(count, batch, rank, world, seed) for rank in range(world)]
    for shard in shards:
        shard.epoch = epoch
    alone = ShardedBatches(count, batch, 0, 1, seed)
    alone.epoch = epoch
    steps = [[k for _, k, counts in step if counts] for step in alone]
    assert sorted(k for step in steps for k in step) == list(range(count))
    lists = [list(shard) for shard in shards]
    assert {len(shard) for shard in lists} == {len(steps)} == {len(alone)}
    for together, step in zip(zip(*lists, strict=True), steps, strict=True):
        assert all(together)  # nobody stands aside
        assert sorted(k for part in together for _, k, counts in part if counts) == sorted(step)


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed, epoch):
        shard = ShardedBatches(50, 8, 0, 1, seed)
        shard.epoch = epoch
        return [k for step in shard for _, k, _ in step]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1) != order(1, 1)


def test_an_example_without_chance_is_the_picture_itself(halves):
    image, mask = halves(48, 64)
    settings = Settings(finetune=True, crop=80, zoom=(1, 1), flip=False)
    x, wanted = Examples([image], [mask], 64, settings, 0)[0, 0, True]
    assert x.shape == (3, 80, 80)
    np.testing.assert_allclose(x[:, :48, :64].permute(1, 2, 0) * STD + MEAN, image, atol=1e-4)
    assert not x[:, 48:].any()
    np.testing.assert_array_equal(wanted[:48, :64], mask)
    assert (wanted[48:] == 255).all()
    assert (wanted[:, 64:] == 255).all()
    assert (Examples([image], [mask], 64, settings, 0)[0, 0, False][1] == 255).all()


def test_pictures_and_labels_are_turned_and_cut_alike(halves):
    """Columns as colours: after any zoom, turn and cut the label still says which half the colour is of."""
    image = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 48, 0).repeat(3, 2)
    mask = (image[..., 0] >= 128).astype(np.uint8)
    examples = Examples([image], [mask], 64, Settings(finetune=True, crop=40), 0)
    seen = set()
    for epoch in range(30):
        x, wanted = examples[epoch, 0, True]
        colour = x[0] * STD + MEAN
        known = (wanted != 255) & ((colour - 126).abs() > 6)
        assert torch.equal(wanted[known] == 1, colour[known] > 126)
        columns = wanted[0][wanted[0] != 255]
        seen |= (
            {"turned"} if columns[0] > columns[-1] else {"as it was"} if columns[0] < columns[-1] else set()
        )
        seen |= {"padded"} if (wanted == 255).any() else {"cut"}
    assert seen == {"turned", "as it was", "padded", "cut"}
    again = examples[7, 0, True]
    assert all(torch.equal(a, b) for a, b in zip(again, examples[7, 0, True], strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason=ABSENT)
def test_a_whole_network_learns_in_bf16(halves):
    images, masks = zip(*(halves(seed=k) for k in range(4)), strict=True)
    options = {"side": 64, "crop": 64, "epochs": 2, "batch": 2, "device": "cuda"}
    here = finetune(list(images), list(masks), 2, precision="32-true", **options)
    there = finetune(list(images), list(masks), 2, **options)
    assert there.losses == pytest.approx(here.losses, abs=0.1)


@pytest.mark.parametrize("accumulate", [1, 2, 5])
def test_the_loss_in_closed_form(five, accumulate):
    """Cross-entropy over the labelled pixels of the whole step, weighted by class; so are its gradients."""
    from lightning_fabric import Fabric

    network, weights = networks.make_network("tiny", 2).eval(), torch.tensor([1.0, 3.0])
    examples = Examples(*five, 64, Settings(crop=64, zoom=(1, 1), flip=False), 0)
    keys = [(0, k, True) for k in range(5)]
    x, wanted = map(torch.stack, zip(*(examples[key] for key in keys), strict=True))
    p = nn.functional.interpolate(network(x), (64, 64), mode="bilinear").log_softmax(1)
    known = [(wanted == c, weight) for c, weight in enumerate(weights)]
    under = sum(weight * here.sum() for here, weight in known)
    loss = -sum(weight * p[:, c][here].sum() for c, (here, weight) in enumerate(known)) / under
    (gradient,) = torch.autograd.grad(loss, network.head[1].weight)

    run = scale.Finetuning(
        network, examples, weights, Settings(), Spread(accumulate=accumulate), 0, Checkpoint(None, ""), False
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    value = run.step(fabric, fabric.setup(network), keys, x, wanted)
    assert value.item() == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(network.head[1].weight.grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spread", [{"accumulate": 2}, {"workers": 1}, {"precision": "bf16-mixed"}], ids=str)
def test_what_a_training_is_spread_over_changes_nothing(five, spread):
    here = finetune(*five, 2, **QUICK).losses
    there = finetune(*five, 2, **QUICK, **spread).losses
    np.testing.assert_allclose(here, there, atol=0.02 if "precision" in spread else 1e-6)


def test_processes_that_read_are_started_anew(five):
    """A fork inherits the locks of threads that it does not have, and then waits for ever."""
    from lightning_fabric import Fabric

    examples = Examples(*five, 64, Settings(crop=64), 0)
    run = scale.Finetuning(
        nn.Identity(), examples, torch.ones(2), Settings(), Spread(workers=1), 0, Checkpoint(None, ""), False
    )
    loader = run.loader(scale.ShardedBatches(len(examples), 2, 0, 1, 0), Fabric(accelerator="cpu", devices=1))
    assert loader.multiprocessing_context.get_start_method() == "spawn"


def test_two_processes_go_on_where_one_was_stopped_and_learn_the_same(five, tmp_path, monkeypatch, capfd):
    """Five pictures, two a step: in the last step one of the two has none of its own."""
    monkeypatch.setattr("lightning_fabric.connector._IS_INTERACTIVE", True)  # as in a notebook
    wanted = finetune(*five, 2, **QUICK)
    file = tmp_path / "student.pt"
    save = Checkpoint.save

    def stopping(self, epochs, *rest):
        save(self, epochs, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            finetune(*five, 2, checkpoint=file, **QUICK)
    capfd.readouterr()
    found = finetune(*five, 2, checkpoint=file, devices=2, progress=True, **QUICK)
    said = capfd.readouterr().out
    assert [said.count(f"epoch {n}: loss") for n in (1, 2, 3)] == [0, 1, 1]  # by one of the two
    assert len(found.losses) == 9
    np.testing.assert_allclose(found.losses, wanted.losses, atol=1e-5)
    assert found.losses[0] > found.losses[-1]
    for name, tensor in wanted.module.state_dict().items():
        torch.testing.assert_close(found.module.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)
    assert not file.exists()


def test_processes_start_as_who_started_them_wants(monkeypatch):
    assert Spread().chosen_strategy == "auto"
    assert Spread(devices=2).chosen_strategy == "ddp_spawn"
    assert Spread(devices=2, num_nodes=2).chosen_strategy == "ddp"
    assert Spread(devices=2, strategy="ddp_notebook").chosen_strategy == "ddp_notebook"
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert Spread(devices=2).chosen_strategy == "ddp"


def test_want_of_memory_names_the_setting_to_change(five, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(scale.Finetuning, "loss", full)
    with pytest.raises(MemoryError, match=r"raise accumulate \(now 1\).*lower crop \(now 48\)"):
        finetune(*five, 2, **QUICK)


def test_other_errors_are_left_as_they_are(five, monkeypatch):
    def other(*arguments):
        raise RuntimeError("a shape")

    monkeypatch.setattr(scale.Finetuning, "loss", other)
    with pytest.raises(RuntimeError, match="a shape"):
        finetune(*five, 2, **QUICK)


def test_calibration_is_the_share_of_each_class_in_the_labels(five):
    images, masks = five
    student = finetune(images, masks, 3, tau=0.5, **(QUICK | {"epochs": 1}))
    counts = np.bincount(np.concatenate([m.ravel() for m in masks]), minlength=256)[:3]
    wanted = 0.5 * np.log(counts[:2] / counts.sum())
    np.testing.assert_allclose(student.offset, [*wanted, 0], atol=1e-6)


def test_a_student_of_pictures_answers_at_their_size(five):
    images, _ = five
    student = finetune(*five, 2, **(QUICK | {"epochs": 20, "zoom": (1, 1)}))
    for labels, mask in zip(student.labels(Pictures(images, 64)), five[1], strict=True):
        assert labels.shape == mask.shape
        assert (labels == mask)[mask != 255].mean() > 0.8


class Read:
    """Pictures that are read when they are asked for."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.sizes = [array.shape[:2] for array in arrays]
        self.asked = 0

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, k):
        self.asked += 1
        return self.arrays[k]


def test_pictures_may_be_read_when_they_are_asked_for(five):
    images, masks = map(Read, five)
    assert finetune(images, masks, 2, **QUICK).losses == finetune(*five, 2, **QUICK).losses
    assert images.asked == masks.asked == 15
    assert len(Pictures(images, 64)) == 5
    assert images.asked == 15


def test_a_head_alone_stays_on_one_device(small):
    with pytest.raises(ValueError, match="finetune=True without a loss"):
        train(*small, 2, devices=2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"devices": 0}, "devices"),
        ({"strategy": "deepspeed"}, "strategy"),
        ({"precision": "int8"}, "precision"),
        ({"network": "resnet"}, "network"),
        ({"crop": 50}, "multiple of 8"),
        ({"zoom": (2, 1)}, "zoom"),
        ({"zoom": (0, 1)}, "zoom"),
        ({"optimiser": "lbfgs"}, "optimiser"),
        ({"drop_after": 0}, "drop_after"),
        ({"side": 5}, "side"),
        ({"class_weights": [1]}, "class_weights"),
    ],
    ids=str,
)
def test_bad_settings_are_named(five, change, word):
    with pytest.raises(ValueError, match=word):
        finetune(*five, 2, **(QUICK | change))


def test_the_papers_schedule_drops_once():
    settings = Settings(drop_after=3)
    assert [scale._share_of_lr(k, 9, settings) for k in range(5)] == [1, 1, 1, 0.1, 0.1]
