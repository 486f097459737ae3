"""Features: what they are, and a cache that is right or made anew."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import torch

from lecturekit.learning import features as frozen
from lecturekit.learning.features import classifier_features, features

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


def test_each_picture_has_its_own_cells(small):
    found, _ = small
    assert found.cells.tolist() == [[6, 8], [6, 8], [8, 6]]
    assert found.values.shape == (3, 16, 8, 8)
    assert found.values.dtype == np.float16
    assert not found.values[0, :, 6:].any()
    assert not found.values[2, :, :, 6:].any()
    assert found.values[0, :, :6].any()


def test_the_network_is_frozen_and_reduced_as_the_docstring_says(small):
    """Cells of the sample have mean 0, uncorrelated channels, and more spread in earlier ones."""
    found, _ = small
    cells = [found.values[k, :, :h, :w].reshape(16, -1) for k, (h, w) in enumerate(found.cells)]
    cells = np.concatenate(cells, 1).astype(float)
    assert np.abs(cells.mean(1)).max() < 0.02
    covariance = cells @ cells.T / cells.shape[1]
    spread = np.diag(covariance)
    assert (np.diff(spread) <= 1e-2 * spread[0]).all()
    assert np.abs(covariance - np.diag(spread)).max() < 0.01 * spread[0]


def test_features_are_found_again_by_content(own_folder, halves, monkeypatch):
    image, _ = halves()
    before = features([image], side=32, channels=4, device="cpu")
    monkeypatch.setattr(frozen, "load_classifier", None)  # whoever computes now fails
    again = features([image.copy()], side=32, channels=4, device="cpu")
    assert again.key == before.key
    np.testing.assert_array_equal(again.values, before.values)
    image[0, 0, 0] ^= 1
    with pytest.raises(TypeError):
        features([image], side=32, channels=4, device="cpu")
    assert not [p for p in (own_folder / "features").iterdir() if p.name.startswith(".")]


def flipped(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGE = {
    "half": lambda content: content[: len(content) // 2],
    "a byte short": lambda content: content[:-1],
    "a tenth zeroed": lambda content: (
        content[:300] + bytes(len(content) // 10) + content[300 + len(content) // 10 :]
    ),
    "a bit flipped": flipped,
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_made_anew_and_never_used(own_folder, halves, ending, damage):
    image, _ = halves()
    options = {"side": 32, "channels": 4, "device": "cpu"}
    before = np.array(features([image], **options).values)
    (file,) = (own_folder / "features").glob(f"*{ending}")
    file.write_bytes(DAMAGE[damage](file.read_bytes()))
    with pytest.warns(UserWarning, match="made anew"):
        np.testing.assert_array_equal(features([image], **options).values, before)
    np.testing.assert_array_equal(features([image], **options).values, before)


def test_files_of_other_pictures_are_not_used(own_folder, halves):
    """Valid files under the wrong name, and a reduction without its entries."""
    options = {"side": 32, "channels": 4, "device": "cpu"}
    other = features([halves(seed=1)[0]], **options)
    image, _ = halves()
    wanted = np.array(features([image], **options).values)
    key = features([image], **options).key
    folder = own_folder / "features"
    for ending in (".npy", ".npz"):
        shutil.copy(folder / f"{other.key}{ending}", folder / f"{key}{ending}")
    with pytest.warns(UserWarning, match="made anew"):
        np.testing.assert_array_equal(features([image], **options).values, wanted)
    np.savez(folder / f"{key}.npz", mean=np.zeros(2))
    with pytest.warns(UserWarning, match="made anew"):
        np.testing.assert_array_equal(features([image], **options).values, wanted)


def test_threads_have_features_of_their_own(halves, monkeypatch):
    options = {"side": 32, "channels": 4, "device": "cpu"}
    one = features([halves()[0]], **options).key
    monkeypatch.setattr(frozen.torch, "get_num_threads", lambda: 2)
    assert features([halves()[0]], **options).key != one


def test_a_disk_without_room_is_met_before_the_work(own_folder, halves, monkeypatch):
    usage = namedtuple("Usage", "free")
    monkeypatch.setattr(frozen.shutil, "disk_usage", lambda folder: usage(100))
    monkeypatch.setattr(frozen._Extraction, "rows", None)
    with pytest.raises(OSError, match=r"features need .*cache=False needs none"):
        features([halves()[0]], side=32, device="cpu")
    assert not list((own_folder / "features").iterdir())


def test_a_disk_that_fills_up_leaves_nothing_behind(own_folder, halves, monkeypatch):
    rows = frozen._Extraction.rows

    def until_full(self, backbone):
        yield next(rows(self, backbone))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(frozen._Extraction, "rows", until_full)
    images = [halves()[0], halves(seed=1)[0]]
    with pytest.raises(OSError, match="No space"):
        features(images, side=32, channels=4, device="cpu")
    assert not list((own_folder / "features").iterdir())
    monkeypatch.undo()


CHILD = """
import sys, time
import numpy as np
from lecturekit.learning import features as frozen
def slow(self, backbone):
    yield np.zeros((4, 3, 4), np.float16)
    print("one is written", flush=True)
    time.sleep(600)
frozen._Extraction.rows = slow
frozen._Extraction.backbone = lambda self: (None, np.zeros(9, "f4"), np.zeros((9, 4), "f4"))
frozen.features([np.zeros((48, 64, 3), np.uint8)] * 2, side=32, device="cpu")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a system without SIGKILL")
def test_what_a_killed_process_left_is_swept(own_folder, halves):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, env=dict(os.environ), text=True
    )
    assert child.stdout.readline() == "one is written\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(list((own_folder / "features").iterdir())) == 1
    key = features([halves()[0]], side=32, channels=4, device="cpu").key
    assert {path.stem for path in (own_folder / "features").iterdir()} == {key}


def test_the_reduction_does_not_hold_all_cells(halves):
    """The moments of parts are those of the whole: beside a principal components analysis of all cells."""
    images = [halves(seed=k)[0] for k in range(3)]
    found = features(images, side=64, channels=5, device="cpu", cache=False)
    backbone = frozen.Backbone(frozen.load_classifier(device="cpu").network).eval()
    with torch.inference_mode():
        cells = torch.cat([backbone.joined(found.pictures.batch([k]))[0].flatten(1).T for k in range(3)])
    cells = cells.double().numpy()
    np.testing.assert_allclose(found.mean, cells.mean(0), atol=1e-4)
    std = cells.std(0)
    std = np.maximum(std, 0.1 * std.mean() + 1e-6)
    scaled = (cells - cells.mean(0)) / std
    _, values, axes = np.linalg.svd(scaled, full_matrices=False)
    scale = np.sqrt((values**2).sum() / len(cells) / cells.shape[1])
    wanted = axes[:5].T / std[:, None] / scale
    signs = np.sign((wanted * found.matrix).sum(0))
    np.testing.assert_allclose(found.matrix, wanted * signs, rtol=0.02, atol=2e-3 * np.abs(wanted).max())


def test_like_uses_the_same_reduction(small):
    found, _ = small
    alike = features(found.pictures.images[:1], like=found, device="cpu", cache=False)
    np.testing.assert_array_equal(alike.matrix, found.matrix)
    np.testing.assert_allclose(alike.values[0], found.values[0, :, :6, :8], atol=2e-3)


@pytest.mark.parametrize(
    ("images", "error", "word"),
    [
        ([], ValueError, "at least one"),
        ([np.zeros((8, 8, 3))], ValueError, "uint8"),
        ([np.zeros((8, 8), np.uint8)], ValueError, "RGB"),
        ([np.zeros((0, 8, 3), np.uint8)], ValueError, "RGB"),
    ],
    ids=["none", "floats", "grey", "empty"],
)
def test_images_of_another_kind_are_named(images, error, word):
    with pytest.raises(error, match=word):
        features(images)


def test_a_picture_of_one_colour_gives_finite_features():
    found = features([np.full((32, 32, 3), 90, np.uint8)], side=32, channels=4, device="cpu", cache=False)
    assert np.isfinite(found.values).all()


def test_a_class_shares_features(tmp_path, monkeypatch):
    """What the teacher computed is read, and nothing is written: neither there nor at the student's."""
    images = [np.full((48, 64, 3), 90, np.uint8)]
    options = {"side": 64, "channels": 4, "device": "cpu"}
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "teacher"))
    first = features(images, **options)
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "student"))
    monkeypatch.setenv("LECTUREKIT_SHARED_CACHE", str(tmp_path / "teacher"))
    again = features(images, **options)
    np.testing.assert_array_equal(again.values, first.values)
    assert not list((tmp_path / "student").rglob("*.np*"))


def test_the_classifiers_features_say_what_the_classifier_says(halves):
    """Brought back to their scale, their mean goes through its last layer to its own logits."""
    image = halves()[0]
    found = classifier_features([image], side=64, device="cpu")
    network = frozen.load_classifier(device="cpu").network.eval()
    values = torch.from_numpy(found.values[0].astype("f4"))  # (C, h, w)
    restored = values / torch.from_numpy(found.matrix.diagonal().copy())[:, None, None]
    pooled = restored.mean((1, 2)) + torch.from_numpy(found.mean)
    with torch.inference_mode():
        wanted = network(found.pictures.batch([0]))[0]
        torch.testing.assert_close(network.classifier(pooled), wanted, atol=0.02, rtol=0.02)
    np.testing.assert_allclose(found.values[0].mean((1, 2)), 0, atol=1e-3)
    assert (found.cells == [found.values.shape[2:]]).all()
    assert found.part(np.array([0])).cells.tolist() == found.cells.tolist()
