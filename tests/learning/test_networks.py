"""Networks to train as a whole: shapes, what their weights begin with, dropout that knows its picture."""

import hashlib

import pytest
import torch
from torch import nn

from lecturekit.learning import networks
from lecturekit.learning.networks import Network, PictureDropout, make_network, with_picture_dropout
from lecturekit.models import MEAN, STD, load_classifier

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_answers_at_an_eighth(name):
    network = make_network(name, 5).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 8, 12)
    assert [key for key, _ in network.named_children()] == ["backbone", "head"]


def test_the_vgg_sees_a_large_field():
    """DeepLab-LargeFOV: 20.5 million weights, and one pixel of the answer looks at 224 pixels each way."""
    network = make_network("vgg16_largefov", 21).eval()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(20.5e6, rel=0.01)
    reach = stride = 1
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            size, apart, step = (
                value[0] if isinstance(value, tuple) else value
                for value in (layer.kernel_size, layer.dilation, layer.stride)
            )
            reach += (size - 1) * apart * stride
            stride *= step
    assert stride == 8
    assert reach > 224


def test_images_reach_a_backbone_as_its_weights_were_trained():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(x)
            return {"out": x}

    grey = torch.tensor([10.0, 100.0, 200.0])[:, None, None].expand(3, 2, 2)  # 0..255
    Network(Look(), nn.Identity())((grey[None] - MEAN) / STD)
    wanted = (grey / 255 - torch.tensor([[[0.485]], [[0.456]], [[0.406]]])) / torch.tensor(
        [[[0.229]], [[0.224]], [[0.225]]]
    )
    torch.testing.assert_close(seen[0][0], wanted, atol=1e-4, rtol=1e-4)
    Network(Look(), nn.Identity(), imagenet=False)((grey[None] - MEAN) / STD)
    torch.testing.assert_close(seen[1][0], (grey - MEAN) / STD)


def test_the_courses_network_begins_with_its_weights():
    network = make_network("efficientnet_lite0", 3)
    fresh = load_classifier(device="cpu").network.state_dict()
    tuned = network.backbone.state_dict()
    assert all(torch.equal(tuned[name], fresh[name]) for name in tuned if name.startswith("blocks."))


def saved(state, folder, stem):
    """A file whose name ends in the first digits of its hash, as torchvision's do."""
    torch.save(state, folder / "plain.pth")
    digest = hashlib.sha256((folder / "plain.pth").read_bytes()).hexdigest()
    return (folder / "plain.pth").rename(folder / f"{stem}-{digest[:8]}.pth")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Weights under torchvision's names; the fully connected layers tell where in the picture they look."""
    donor = make_network("vgg16_largefov", 2, seed=1)
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    layers = [layer for layer in donor.backbone if isinstance(layer, nn.Conv2d)]
    state = {}
    for n, layer in zip(numbers, layers, strict=True):
        state |= {f"features.{n}.{key}": tensor for key, tensor in layer.state_dict().items()}
    # views of one row: the file stays small
    state["classifier.0.weight"] = torch.arange(49.0).repeat(512).expand(4096, -1)
    state["classifier.0.bias"] = torch.arange(4096.0)
    state["classifier.3.weight"] = torch.arange(4096.0).expand(4096, -1)
    state["classifier.3.bias"] = torch.arange(4096.0)
    return saved(state, tmp_path_factory.mktemp("weights"), "vgg16"), donor


def test_vgg_begins_with_a_files_weights(vgg):
    path, donor = vgg
    network = make_network("vgg16_largefov", 2, weights=path, seed=2)
    for name, tensor in donor.backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], tensor)
    # 7 x 7 pixels, every third: rows and columns 0, 3, 6
    assert network.head[0].weight[5, 9].tolist() == [[0, 3, 6], [21, 24, 27], [42, 45, 48]]
    assert network.head[3].weight[0, :3, 0, 0].tolist() == [0, 4, 8]
    assert network.head[3].bias[:3].tolist() == [0, 4, 8]


def test_a_resnet_begins_with_a_files_weights(tmp_path):
    backbone = make_network("fcn_resnet50", 2, seed=1).backbone.state_dict()
    path = saved(backbone | {"fc.weight": torch.zeros(1)}, tmp_path, "resnet50")
    network = make_network("fcn_resnet50", 2, weights=path, seed=2)
    assert all(torch.equal(network.backbone.state_dict()[name], backbone[name]) for name in backbone)


def test_weights_of_another_hash_or_network_are_refused(vgg, tmp_path):
    path, _ = vgg
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        make_network("vgg16_largefov", 2, weights=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="come with the course"):
        make_network("efficientnet_lite0", 2, weights=path)
    with pytest.raises(ValueError, match="fit"):
        make_network("fcn_resnet50", 2, weights=path)
    with pytest.raises(ValueError, match="wanted 00000000"):
        make_network("vgg16_largefov", 2, weights=path, sha256="00000000")
    unnamed = tmp_path / "vgg16.pth"
    unnamed.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="sha256 must be given"):
        make_network("vgg16_largefov", 2, weights=unnamed)


def test_dropout_knows_its_picture():
    module = nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.25)).train()
    found = with_picture_dropout(module)
    assert [part.channels for part in found] == [False, True]
    x = torch.ones(3, 64, 8, 8)
    for part in found:
        part.seeds = [1, 2, 3]
    together = module(x)
    for k, seed in enumerate((1, 2, 3)):
        for part in found:
            part.seeds = [seed]
        assert torch.equal(module(x[k : k + 1])[0], together[k])
    assert together.mean().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(module.eval()(x), x)


def test_dropout_drops_its_share():
    part = PictureDropout(0.25, channels=True).train()
    part.seeds = [0]
    dropped = part(torch.ones(1, 4000, 2, 2))[0].amax((1, 2)) == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
