"""cam: exact wherever its contract holds, refused wherever it does not, and no trace of it afterwards."""

from __future__ import annotations

import copy
import gc
import weakref
from collections import OrderedDict
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack
from torchvision import tv_tensors

from lecturekit.datasets.photos import photo
from lecturekit.evidence import Evidence, _forward, cam
from lecturekit.models import load_classifier

CHANNELS, CLASSES = 8, 5


class Net(nn.Module):
    """Convolution, batch norm, activation; then a head given as a function of the module and its features."""

    def __init__(self, head=None, channels=CHANNELS, classes=CLASSES, act=None, bias=True, stride=2):
        super().__init__()
        act = nn.ReLU(inplace=True) if act is None else act
        conv = nn.Conv2d(3, channels, 3, stride, 1)
        self.body = nn.Sequential(conv, nn.BatchNorm2d(channels), act)
        self.fc = nn.Linear(channels, classes, bias=bias)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = head or gap

    def forward(self, x):
        return self.head(self, self.body(x))


def gap(net, features):
    return net.fc(features.mean((2, 3)))


def make(head=None, seed=0, **options) -> Net:
    torch.manual_seed(seed)
    network = Net(head, **options)
    # Statistics that are not those of a fresh layer, so that train and eval mode differ.
    network.body[1].running_mean.normal_()
    network.body[1].running_var.uniform_(0.5, 2)
    return network.eval()


def pictures(*size, seed=1, **options) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(**options)


@pytest.fixture
def images() -> Tensor:
    return pictures(3, 3, 12, 10)


@pytest.fixture(scope="module")
def lite():
    return load_classifier(device="cpu")


def brute_force(features: Tensor, weight: Tensor, classes) -> np.ndarray:
    """The definition, summed with loops in double precision: (B, n, h, w)."""
    f, w = features.detach().double().numpy(), weight.detach().double().numpy()
    maps = np.zeros((len(f), len(classes[0]), *f.shape[2:]))
    for b, row in enumerate(classes):
        for n, c in enumerate(row):
            for k in range(f.shape[1]):
                maps[b, n] += w[c, k] * f[b, k]
    return maps


def assert_identity(found: Evidence, bias: Tensor | None, rtol=2e-5) -> None:
    """mean_xy CAM_c + b_c = logit_c."""
    table = found.classes.reshape(len(found.classes), -1)
    maps = found.maps.reshape(*table.shape, -1).double()
    offset = 0 if bias is None else bias.detach().double()[table]
    logits = found.logits.double().gather(1, table)
    scale = float(maps.abs().mean())
    torch.testing.assert_close(maps.mean(-1) + offset, logits, rtol=rtol, atol=rtol * scale)


# ---------------------------------------------------------------- the map is the map


@pytest.mark.parametrize(
    ("classes", "table"),
    [
        (3, [[3]] * 3),
        (np.int64(3), [[3]] * 3),
        (torch.tensor(3), [[3]] * 3),
        ([4, 0, 2], [[4], [0], [2]]),
        ((4, 0, 2), [[4], [0], [2]]),
        ([np.int64(4), np.int32(0), 2], [[4], [0], [2]]),
        (range(3), [[0], [1], [2]]),
        (np.array([4, 0, 2], np.uint8), [[4], [0], [2]]),
        (torch.tensor([4, 0, 2], dtype=torch.int32), [[4], [0], [2]]),
        ([[1], [2], [3]], [[1], [2], [3]]),
        ([[1, 1], [2, 0], [3, 4]], [[1, 1], [2, 0], [3, 4]]),
        (torch.tensor([[1, 4], [2, 0], [3, 4]]), [[1, 4], [2, 0], [3, 4]]),
        # as many as there are classes, in another order: not the same as "all"
        ([[4, 3, 2, 1, 0]] * 3, [[4, 3, 2, 1, 0]] * 3),
        ([[0, 0, 0, 0, 0]] * 3, [[0, 0, 0, 0, 0]] * 3),
        ("all", [[0, 1, 2, 3, 4]] * 3),
    ],
    ids=str,
)
def test_maps_are_the_weighted_sum(images, classes, table):
    network = make()
    found = cam(network, images, classes)
    with torch.no_grad():
        features, logits = network.body(images), network(images)
    wanted = brute_force(features, network.fc.weight, table)
    several = found.classes.ndim == 2
    np.testing.assert_allclose(found.maps, wanted if several else wanted[:, 0], rtol=1e-5, atol=1e-6)
    assert found.classes.tolist() == (table if several else [row[0] for row in table])
    assert several == (classes == "all" if isinstance(classes, str) else np.ndim(classes) == 2)
    assert found.classes.dtype == torch.int64
    assert found.maps.dtype == torch.float32
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=0)
    assert_identity(found, network.fc.bias)


def test_no_class_means_the_top_class_of_each_image(images):
    found = cam(make(), images)
    assert isinstance(found, Evidence)
    assert found._fields == ("maps", "logits", "classes")
    assert found.classes.tolist() == found.logits.argmax(1).tolist()
    assert len(set(found.classes.tolist())) > 1, "the images should differ, or this shows nothing"
    assert found.maps.shape == (3, 6, 5)
    torch.testing.assert_close(found.maps, cam(make(), images, found.classes).maps)


def test_maps_keep_their_sign_and_scale(images):
    maps = cam(make(), images, "all").maps
    assert maps.min() < 0 < maps.max()
    assert maps.is_contiguous()


@pytest.mark.parametrize("bias", [True, False])
def test_identity_holds_with_and_without_a_bias(images, bias):
    network = make(bias=bias)
    assert_identity(cam(network, images, "all"), network.fc.bias)


POOLS = {
    "module": lambda n, f: n.fc(n.pool(f).flatten(1)),
    "functional": lambda n, f: n.fc(F.adaptive_avg_pool2d(f, 1).flatten(1)),
    "functional, pair": lambda n, f: n.fc(torch.flatten(F.adaptive_avg_pool2d(f, (1, 1)), 1)),
    "mean((2, 3))": lambda n, f: n.fc(f.mean((2, 3))),
    "mean((-1, -2))": lambda n, f: n.fc(f.mean((-1, -2))),
    "mean(dim=)": lambda n, f: n.fc(f.mean(dim=[2, 3])),
    "torch.mean": lambda n, f: n.fc(torch.mean(f, (2, 3))),
    "torch.mean(input=)": lambda n, f: n.fc(torch.mean(input=f, dim=(2, 3))),
    "keepdim, flatten": lambda n, f: n.fc(f.mean((2, 3), keepdim=True).flatten(1)),
    "keepdim, squeeze": lambda n, f: n.fc(f.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1)),
    "mean(-1).mean(-1)": lambda n, f: n.fc(f.mean(-1).mean(-1)),
    "mean(2).mean(2)": lambda n, f: n.fc(f.mean(2).mean(2)),
    "flatten(2).mean": lambda n, f: n.fc(f.flatten(2).mean(-1)),
    "view.mean": lambda n, f: n.fc(f.view(*f.shape[:2], -1).mean(2)),
    "reshape tokens": lambda n, f: n.fc(f.flatten(2).transpose(1, 2).mean(1)),
    "avg_pool2d": lambda n, f: n.fc(F.avg_pool2d(f, f.shape[2:]).flatten(1)),
    "avg_pool2d, keyword": lambda n, f: n.fc(
        F.avg_pool2d(f, kernel_size=tuple(f.shape[2:])).view(len(f), -1)
    ),
    "sum over count": lambda n, f: n.fc(f.sum((2, 3)) / f[0, 0].numel()),
    "channels last": lambda n, f: n.fc(f.permute(0, 2, 3, 1).mean((1, 2))),
    "channels last, contiguous": lambda n, f: n.fc(f.permute(0, 2, 3, 1).contiguous().mean((1, 2))),
    "dropout": lambda n, f: n.fc(n.drop(f.mean((2, 3)))),
    "dropout after": lambda n, f: n.drop(n.fc(n.drop(f.mean((2, 3))))),
    "convolution as head": lambda n, f: F.conv2d(
        f.mean((2, 3), keepdim=True), n.fc.weight[:, :, None, None], n.fc.bias
    ).flatten(1),
    "linear by keyword": lambda n, f: F.linear(input=f.mean((2, 3)), weight=n.fc.weight, bias=n.fc.bias),
    "in-place activation again": lambda n, f: n.fc(F.relu(f, inplace=True).mean((2, 3))),
    "in-place clamp": lambda n, f: n.fc(f.clamp_(min=0).mean((2, 3))),
    "logits as float": lambda n, f: n.fc(f.mean((2, 3))).float(),
}


@pytest.mark.parametrize("head", POOLS.values(), ids=POOLS.keys())
def test_every_way_to_write_the_pool(images, head):
    network = make(head)
    found = cam(network, images, "all")
    with torch.no_grad():
        wanted = brute_force(network.body(images), network.fc.weight, [range(CLASSES)] * 3)
    np.testing.assert_allclose(found.maps, wanted, rtol=1e-5, atol=1e-6)
    assert_identity(found, network.fc.bias)


ACTIVATIONS = {
    "in-place ReLU": nn.ReLU(inplace=True),
    "ReLU": nn.ReLU(),
    "in-place SiLU": nn.SiLU(inplace=True),
    "GELU": nn.GELU(),
    "in-place ReLU6": nn.ReLU6(inplace=True),
    "signed features": nn.Identity(),
    "batch norm with activation": BatchNormAct2d(CHANNELS, act_layer=nn.ReLU),
    "leaky": nn.LeakyReLU(0.3, inplace=True),
}


@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS.keys())
def test_every_activation_before_the_pool(images, act):
    network = make(act=act)
    found = cam(network, images, "all")
    with torch.no_grad():
        wanted = brute_force(network.body(images), network.fc.weight, [range(CLASSES)] * 3)
    np.testing.assert_allclose(found.maps, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_maps_as_large_as_there_are_channels(channels):
    """Channels first and channels last have the same shape here and must not be taken for each other."""
    images = pictures(2, 3, 2 * channels, 2 * channels)
    for head in (POOLS["mean((2, 3))"], POOLS["channels last"]):
        network = make(head, channels=channels)
        found = cam(network, images, "all")
        with torch.no_grad():
            wanted = brute_force(network.body(images), network.fc.weight, [range(CLASSES)] * 2)
        np.testing.assert_allclose(found.maps, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 9), (9, 2), (24, 7)])
def test_maps_of_one_row_or_column(size):
    network = make()
    found = cam(network, pictures(2, 3, *size), "all")
    assert found.maps.shape[2:] == (-(-size[0] // 2), -(-size[1] // 2))
    assert_identity(found, network.fc.bias)


def test_one_class_and_one_image():
    found = cam(make(classes=1), pictures(1, 3, 8, 8))
    assert found.maps.shape == (1, 4, 4)
    assert found.classes.tolist() == [0]


@pytest.mark.parametrize("pool", ["avg_pool2d", "functional", "mean(-1).mean(-1)"])
@pytest.mark.parametrize("flat", [True, False])
def test_large_maps_whose_average_torch_sums_one_by_one(pool, flat):
    """avg_pool2d adds 16384 numbers in a row: its rounding is larger than that of mean."""
    network = make(POOLS[pool], stride=1)
    images = torch.full((1, 3, 128, 128), 0.1) if flat else pictures(1, 3, 128, 128)
    assert_identity(cam(network, images, "all"), network.fc.bias, rtol=1e-3)


# ---------------------------------------------------------------- networks of others


def _input_of(module: nn.Module, network: nn.Module, images: Tensor) -> Tensor:
    """What `module` got in a plain forward pass."""
    seen = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    network(images)
    hook.remove()
    return seen[0]


def _swin():
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        window_size=2,
        embed_dim=16,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        num_classes=10,
    )


def _densenet():
    return torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=10)


#: network, its feature maps by another way, its linear layer
NETWORKS = {
    "torchvision resnet18": (
        lambda: torchvision.models.resnet18(num_classes=10),
        lambda m, x: _input_of(m.avgpool, m, x),
        "fc",
    ),
    "torchvision densenet": (_densenet, lambda m, x: F.relu(m.features(x)), "classifier"),
    "torchvision googlenet": (
        lambda: torchvision.models.googlenet(num_classes=10, aux_logits=True, init_weights=False),
        lambda m, x: _input_of(m.avgpool, m, x),
        "fc",
    ),
    "torchvision mobilenet_v2": (
        lambda: torchvision.models.mobilenet_v2(width_mult=0.35, num_classes=10),
        lambda m, x: m.features(x),
        "classifier.1",
    ),
    "torchvision shufflenet": (
        lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10),
        lambda m, x: m.conv5(m.stage4(m.stage3(m.stage2(m.maxpool(m.conv1(x)))))),
        "fc",
    ),
    "timm mobilenet": (
        lambda: timm.create_model("mobilenetv2_035", num_classes=10),
        lambda m, x: m.forward_features(x),
        "classifier",
    ),
    "timm resnet, fast pool": (
        lambda: timm.create_model("resnet10t", num_classes=10, global_pool="fastavg"),
        lambda m, x: m.forward_features(x),
        "fc",
    ),
    "timm densenet": (
        lambda: timm.create_model("densenet121", growth_rate=8, block_config=(2, 2, 2, 2), num_classes=10),
        lambda m, x: m.forward_features(x),
        "classifier",
    ),
    "timm regnet": (
        lambda: timm.create_model("regnetx_002", num_classes=10),
        lambda m, x: m.forward_features(x),
        "head.fc",
    ),
    "timm swin, channels last": (
        _swin,
        lambda m, x: m.forward_features(x).permute(0, 3, 1, 2),
        "head.fc",
    ),
}


@cache
def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name][0]()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_torchvision_and_timm(name):
    _, features_of, head = NETWORKS[name]
    network = built(name).train()  # cam must see to eval mode by itself
    images = pictures(2, 3, 64, 64)
    found = cam(network, images, "all")
    assert all(module.training for module in network.modules())
    network.eval()
    linear = network.get_submodule(head)
    with torch.no_grad():
        features, logits = features_of(network, images), network(images)
    wanted = torch.einsum("kc,bchw->bkhw", linear.weight.double(), features.double())
    wanted = wanted.detach()
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(found.maps, wanted, rtol=1e-5, atol=1e-5 * scale)
    torch.testing.assert_close(found.logits, logits)
    assert_identity(found, linear.bias)


@pytest.mark.parametrize("name", ["torchvision resnet18", "timm mobilenet", "timm regnet"])
def test_pictures_so_small_that_the_map_has_one_position(name):
    """The map is then the logit less its bias; exact all the same."""
    network = built(name)
    found = cam(network, pictures(2, 3, 32, 32), "all")
    assert found.maps.shape == (2, 10, 1, 1)
    assert_identity(found, network.get_submodule(NETWORKS[name][2]).bias)


def test_same_map_as_torchcam():
    from torchcam.methods import CAM

    network = built("torchvision resnet18").eval()
    images = pictures(1, 3, 96, 96)
    with CAM(network, "layer4", "fc", input_shape=(3, 96, 96)) as extractor:
        network(images)
        (theirs,) = extractor(7, normalized=False)
    ours = cam(network, images, 7).maps
    # torchcam keeps the positive part
    np.testing.assert_allclose(ours.clamp(min=0), theirs.clamp(min=0), rtol=1e-4, atol=1e-6)


def test_head_is_the_one_that_made_the_logits(images):
    """A second head on the same features, run later, is not taken for the first."""
    other = nn.Linear(CHANNELS, CLASSES)

    def two_heads(net, features):
        pooled = features.mean((2, 3))
        return {"logits": net.fc(pooled), "aux": other(pooled)}

    network = make(two_heads)
    assert_identity(cam(network, images, "all"), network.fc.bias)


class _Output(OrderedDict):
    """Like the outputs of the transformers library: a dictionary whose entries are attributes too."""

    @property
    def logits(self):
        return self["logits"]


@pytest.mark.parametrize(
    "wrap",
    [lambda y: {"logits": y}, lambda y: SimpleNamespace(logits=y), lambda y: _Output(loss=None, logits=y)],
)
def test_outputs_that_hold_logits(images, wrap):
    network = make(lambda n, f: wrap(gap(n, f)))
    torch.testing.assert_close(cam(network, images).maps, cam(make(), images).maps)


# ---------------------------------------------------------------- refusals


def _two_layers(n, f):
    return F.linear(n.fc(f.mean((2, 3))).relu(), torch.eye(CLASSES, dtype=f.dtype))


def _patches(n, f):
    weight = n.fc.weight.repeat(1, 4)  # the pool leaves 2 x 2 positions to the linear layer
    return F.linear(F.adaptive_avg_pool2d(f, 2).flatten(1), weight)


def _attention(n, f):
    share = f.sum(1, keepdim=True).flatten(2).softmax(-1).view(len(f), 1, *f.shape[2:])
    return n.fc((f * share).sum((2, 3)))


OTHER_HEADS = {
    "max pool": lambda n, f: n.fc(f.amax((2, 3))),
    "max pool, module": lambda n, f: n.fc(F.adaptive_max_pool2d(f, 1).flatten(1)),
    "average and maximum": lambda n, f: n.fc(f.mean((2, 3)) + f.amax((2, 3))),
    "average beside maximum": lambda n, f: F.linear(
        torch.cat([f.mean((2, 3)), f.amax((2, 3))], 1), n.fc.weight.repeat(1, 2)
    ),
    "log-sum-exp pool": lambda n, f: n.fc(f.flatten(2).logsumexp(-1)),
    "attention pool": _attention,
    "flattened map": lambda n, f: F.linear(f.flatten(1), n.fc.weight.repeat(1, f[0, 0].numel())),
    "patches": _patches,
    "sum pool": lambda n, f: n.fc(f.sum((2, 3))),
    "scaled pool": lambda n, f: n.fc(1.5 * f.mean((2, 3))),
    "two layers": _two_layers,
    "layer norm": lambda n, f: n.fc(F.layer_norm(f.mean((2, 3)), (CHANNELS,))),
    "unit length": lambda n, f: n.fc(F.normalize(f.mean((2, 3)), dim=1)),
    "tanh before": lambda n, f: n.fc(f.mean((2, 3)).tanh()),
    "classify, then pool": lambda n, f: F.conv2d(f, n.fc.weight[:, :, None, None]).mean((2, 3)),
    "no linear layer": lambda n, f: f.mean((2, 3)),
    "softmax": lambda n, f: gap(n, f).softmax(1),
    "log-softmax": lambda n, f: gap(n, f).log_softmax(1),
    "sigmoid": lambda n, f: gap(n, f).sigmoid(),
    "tanh after": lambda n, f: gap(n, f).tanh(),
    "temperature": lambda n, f: gap(n, f) / 1.05,
    "offset": lambda n, f: gap(n, f) + 0.05,
    "classes in another order": lambda n, f: gap(n, f).flip(1),
    "custom product": lambda n, f: torch.einsum("bc,kc->bk", f.mean((2, 3)), n.fc.weight),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("head", OTHER_HEADS.values(), ids=OTHER_HEADS.keys())
def test_other_heads_are_refused_by_name_of_grad_cam(images, head, dtype):
    """In bfloat16 too, where rounding alone is large enough to hide a softmax."""
    with pytest.raises(ValueError, match="Grad-CAM") as refusal:
        cam(make(head).to(dtype), images.to(dtype))
    assert "grad_cam" in str(refusal.value)


def test_other_heads_are_refused_under_autocast(images):
    with torch.autocast("cpu", torch.bfloat16):
        for name in ("softmax", "temperature", "layer norm", "max pool"):
            with pytest.raises(ValueError, match="Grad-CAM"):
                cam(make(OTHER_HEADS[name]), images)


def _vgg():
    with torch.device("meta"):  # its first linear layer alone would take 400 MB
        network = torchvision.models.vgg11()
    network.features = torchvision.models.vgg.make_layers([8, "M", 16, "M"])
    network.classifier = nn.Sequential(nn.Linear(16 * 49, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))
    return network


REFUSED = {
    "vgg": _vgg,
    "vgg of convolutions": lambda: timm.models.vgg.VGG(
        (8, "M", 8, "M", 8, "M", 8, "M", 8, "M"), num_classes=10, mlp_ratio=0.1
    ),
    "mobilenet v3": lambda: timm.create_model("mobilenetv3_small_050", num_classes=10),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(num_classes=10),
    "convnext": lambda: timm.create_model("convnext_atto", depths=(1, 1, 1, 1), num_classes=10),
    "vision transformer": lambda: timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, num_classes=10
    ),
    "mixer": lambda: timm.models.mlp_mixer.MlpMixer(
        num_classes=10, img_size=64, patch_size=32, num_blocks=2, embed_dim=32
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_with_another_head_are_refused(name):
    network = REFUSED[name]()
    with pytest.raises(ValueError, match="Grad-CAM"):
        cam(network, pictures(1, 3, 64, 64))


# ---------------------------------------------------------------- wrappers


def test_data_parallel(images):
    wanted = cam(make(), images).maps
    torch.testing.assert_close(cam(nn.DataParallel(make()), images).maps, wanted)
    torch.testing.assert_close(cam(nn.DataParallel(nn.DataParallel(make())), images).maps, wanted)


def test_compiled_networks_run_uncompiled_and_stay_compiled(images):
    compilations = []

    def backend(graph, _inputs):
        compilations.append(graph)
        return graph.forward

    def runs(network):
        """How many graphs running the network compiles."""
        compilations.clear()
        network(images)
        return len(compilations)

    # of different widths, because networks of the same shapes share what is compiled
    wrapped = torch.compile(make(channels=2), backend=backend)
    in_place = make(channels=3)
    in_place.compile(backend=backend)
    inside = make(channels=4)
    inside.body = torch.compile(inside.body, backend=backend)
    around = torch.compile(nn.DataParallel(make(channels=5)), backend=backend)
    with torch.no_grad():
        assert runs(wrapped) == 1
        compilations.clear()
        for channels, network in enumerate((wrapped, in_place, inside, around), start=2):
            torch.testing.assert_close(cam(network, images).maps, cam(make(channels=channels), images).maps)
        assert compilations == [], "cam compiled something"
        assert runs(wrapped) == 0, "cam threw a compiled network away"
        assert runs(in_place) == 1, "cam left compilation switched off"
        assert runs(inside) == 1
        with pytest.raises(ValueError, match="classes"):
            cam(wrapped, images, CLASSES)
        assert runs(torch.compile(make(channels=6), backend=backend)) == 1, "the same after an error"


# ---------------------------------------------------------------- precision, devices, modes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(images, dtype):
    network = make().to(dtype)
    found = cam(network, images.to(dtype), "all")
    with torch.no_grad():
        features, logits = network.body(images.to(dtype)), network(images.to(dtype))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.maps.dtype == wide
    assert found.logits.dtype == dtype
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=0)
    wanted = brute_force(features, network.fc.weight, [range(CLASSES)] * 3)
    # the sum itself is as exact as ever: the network's own numbers were rounded, not our arithmetic
    np.testing.assert_allclose(
        found.maps, wanted, **({"rtol": 1e-12} if wide == torch.float64 else {"rtol": 1e-5, "atol": 1e-6})
    )
    assert_identity(found, network.fc.bias, rtol=4 * torch.finfo(dtype).eps)


def test_autocast(images):
    network = make()
    plain = cam(network, images, "all")
    with torch.autocast("cpu", torch.bfloat16):
        found = cam(network, images, "all")
        assert torch.is_autocast_enabled("cpu")
        assert (found.maps @ found.maps.mT).dtype == torch.bfloat16, "autocast goes on for the caller"
    assert found.maps.dtype == torch.float32
    scale = float(plain.maps.abs().max())
    torch.testing.assert_close(found.maps, plain.maps, rtol=0, atol=0.03 * scale)


def test_head_in_another_precision_than_the_body(images):
    network = make(lambda n, f: n.fc(f.float().mean((2, 3))))
    network.body.bfloat16()
    assert_identity(cam(network, images.bfloat16(), "all"), network.fc.bias)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_no_graph_in_any_mode(images, mode):
    network = make()
    with mode():
        found = cam(network, images)
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert torch.is_grad_enabled() == (mode is torch.enable_grad)
    assert not found.maps.requires_grad
    assert not found.logits.requires_grad
    assert found.maps.is_inference() == (mode is torch.inference_mode)
    torch.testing.assert_close(found.maps.clone(), cam(network, images).maps)


def test_frozen_and_gradient_carrying_inputs(images):
    network = make().requires_grad_(False)
    wanted = cam(network, images).maps
    leaf = images.clone().requires_grad_()
    found = cam(make(), leaf)
    torch.testing.assert_close(found.maps, wanted)
    assert leaf.grad is None
    assert not found.maps.requires_grad


def test_channels_last_memory(images):
    network = make().to(memory_format=torch.channels_last)
    found = cam(network, images.to(memory_format=torch.channels_last), "all")
    torch.testing.assert_close(found.maps, cam(make(), images, "all").maps)


def test_image_subclasses(images):
    found = cam(make(), tv_tensors.Image(images))
    torch.testing.assert_close(found.maps.as_subclass(Tensor), cam(make(), images).maps)


def test_batch_gives_what_single_images_give(images):
    for network, size in ((make(), 12), (built("torchvision resnet18"), 64)):
        batch = pictures(4, 3, size, size)
        together = cam(network, batch, [[0, 1], [1, 2], [2, 3], [3, 4]])
        for i in range(4):
            alone = cam(network, batch[i : i + 1], [[i, i + 1]])
            scale = max(1.0, float(alone.maps.abs().max()))
            torch.testing.assert_close(together.maps[i], alone.maps[0], rtol=0, atol=1e-5 * scale)
            torch.testing.assert_close(together.logits[i], alone.logits[0], rtol=0, atol=1e-5 * scale)


def test_one_forward_pass(images):
    network, runs = make(), []
    network.register_forward_hook(lambda *_: runs.append(1))
    for classes in (None, 1, "all"):
        runs.clear()
        cam(network, images, classes)
        assert len(runs) == 1


class InOneBlock(nn.Module):
    """A network whose pool is inside a block, where nobody looks at first."""

    def __init__(self, network: Net, *after: nn.Module):
        super().__init__()
        self.trunk = nn.Sequential(network.body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *after)
        self.fc = network.fc

    def forward(self, x):
        return self.fc(self.trunk(x))


def test_a_pool_inside_a_block_is_found_at_the_second_look(images):
    network = make()
    hidden, runs = InOneBlock(network).eval(), []
    hidden.trunk.register_forward_hook(lambda *_: runs.append(1))
    torch.testing.assert_close(cam(hidden, images, "all").maps, cam(network, images, "all").maps)
    assert len(runs) == 2


class Explodes(nn.Module):
    def forward(self, x):
        raise RuntimeError("out of memory")


def test_an_error_inside_a_block_leaves_neither_hook_nor_mode(images):
    network = InOneBlock(make(), Explodes()).eval()
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        cam(network, images)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert not torch.overrides._get_current_function_mode_stack()


# ---------------------------------------------------------------- side effects


def snapshot(network: nn.Module, images: Tensor) -> dict:
    """Everything that cam could have touched, as values that can be compared."""
    hooks = {
        f"{name}.{key}": list(value)
        for name, module in network.named_modules()
        for key, value in vars(module).items()
        if "hooks" in key
    }
    everywhere = {
        key: list(value)
        for key, value in vars(torch.nn.modules.module).items()
        if key.startswith("_global") and isinstance(value, dict)
    }
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers()), "images": images}
    return {
        "attributes": {name: sorted(vars(module)) for name, module in network.named_modules()},
        "hooks": hooks,
        "global hooks": everywhere,
        "training": {name: module.training for name, module in network.named_modules()},
        "tensors": {
            key: (id(x), x._version, x.requires_grad, x.detach().double().sum().item())
            for key, x in tensors.items()
        },
        "gradients": {
            key: None if x.grad is None else (id(x.grad), x.grad._version, x.grad.sum().item())
            for key, x in tensors.items()
        },
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "modes": len(_get_current_function_mode_stack()),
        "random": torch.get_rng_state().tolist(),
        "defaults": (torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
    }


def mixed(head=None) -> Net:
    """A network in training with every kind of state: mixed flags, frozen parts, gradients, hooks."""
    network = make(head)
    network.train()
    network.body[0].eval()
    network.drop.eval()
    network.fc.bias.requires_grad_(False)
    network.fc.weight.grad = torch.full_like(network.fc.weight, 3)
    network.body.register_forward_hook(lambda *_: None)
    network.fc.register_full_backward_hook(lambda *_: None)
    return network


class _Stop(BaseException):
    """Like KeyboardInterrupt: no Exception."""


def _raises(error):
    def head(net, features):
        raise error

    return head


def _nothing(net, features):
    return None


CALLS = {
    "top class": (None, None, None),
    "one class": (None, 2, None),
    "all": (None, "all", None),
    "class out of range": (None, CLASSES, ValueError),
    "classes of another kind": (None, 0.5, TypeError),
    "forward raises": (_raises(RuntimeError("out of memory")), None, RuntimeError),
    "forward is interrupted": (_raises(_Stop()), None, _Stop),
    "no logits": (_nothing, None, ValueError),
    "max pool": (OTHER_HEADS["max pool"], None, ValueError),
    "softmax": (OTHER_HEADS["softmax"], "all", ValueError),
}


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_changed(images, name, mode):
    head, classes, error = CALLS[name]
    network = mixed(head)
    with mode():
        before = snapshot(network, images)
        if error is None:
            cam(network, images, classes)
        else:
            with pytest.raises(error):
                cam(network, images, classes)
        assert snapshot(network, images) == before
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "bad",
    [
        torch.full((1, 3, 8, 8), torch.nan),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        None,
    ],
    ids=["nan", "no batch", "uint8", "None"],
)
def test_nothing_is_changed_by_bad_images(images, bad):
    network, runs = mixed(), []
    network.register_forward_hook(lambda *_: runs.append(1))
    before = snapshot(network, images)
    with pytest.raises((TypeError, ValueError)):
        cam(network, bad)
    assert snapshot(network, images) == before
    assert runs == [], "bad images are refused before any work"


def test_a_network_in_training_is_explained_as_in_eval(images):
    """Neither dropout nor the statistics of the batch have a part in the answer."""
    network = mixed(POOLS["dropout"])
    trained = cam(network, images, "all")
    torch.testing.assert_close(trained.maps, cam(make(POOLS["dropout"]), images, "all").maps)
    with torch.no_grad():
        assert not torch.allclose(network(images), trained.logits), "in training it should say something else"


def test_a_network_that_minds_its_own_training_flag(images):
    """eval() of this one cannot be undone by train(); cam must not call it."""

    class Stubborn(Net):
        def train(self, mode=True):
            raise AssertionError("train() or eval() was called")

    network = Stubborn()
    assert_identity(cam(network, images), network.fc.bias)
    assert network.training


def test_shared_modules(images):
    network = make()
    network.same = network.body
    network.train()
    network.body[1].eval()
    before = snapshot(network, images)
    cam(network, images)
    assert snapshot(network, images) == before


def test_hooks_of_the_user_run_and_may_touch_the_features(images):
    network, seen = make(POOLS["module"]), []
    network.pool.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0].detach().sum()))
    assert_identity(cam(network, images), network.fc.bias)
    assert len(seen) == 1


def test_calls_inside_a_mode_of_the_user(images):
    with torch.device("cpu"):
        torch.testing.assert_close(cam(make(), images).maps, cam(make(), images).maps)


# ---------------------------------------------------------------- memory


def test_features_are_let_go(images):
    network, kept = make(), []
    network.body.register_forward_hook(lambda _m, _i, output: kept.append(weakref.ref(output)))
    found = cam(network, images, "all")
    gc.collect()
    assert kept[0]() is None
    assert found.maps.untyped_storage().nbytes() == found.maps.numel() * 4


def test_features_are_let_go_after_a_refusal(images):
    network, kept = make(OTHER_HEADS["max pool"]), []
    network.body.register_forward_hook(lambda _m, _i, output: kept.append(weakref.ref(output)))
    with pytest.raises(ValueError, match="Grad-CAM") as refusal:
        cam(network, images)
    del refusal
    gc.collect()
    assert kept[0]() is None


def test_early_layers_are_let_go_while_the_network_runs(images):
    """Watching a forward pass must not hold every feature map, as training does."""
    alive, kept = [], []

    def count(_module, _inputs, output):
        kept.append(weakref.ref(output))
        alive.append(sum(ref() is not None for ref in kept))

    blocks = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(12)]
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    for block in blocks:
        block.register_forward_hook(count)
    cam(network, images)
    assert len(alive) == 12
    assert max(alive) <= 3


def test_a_long_tail_is_let_go():
    """A network of tokens has no feature map to keep calls for."""
    network = nn.Sequential(nn.Flatten(), *(nn.Linear(12, 12) for _ in range(_forward.MAX_TAIL + 50)))
    _, calls = _forward.watch(network, torch.rand(1, 3, 2, 2))
    assert calls == []


# ---------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("classes", "error"),
    [
        (-1, ValueError),
        (CLASSES, ValueError),
        ([0, 1, CLASSES], ValueError),
        ([[0, 1], [1, 2], [2, -1]], ValueError),
        ([0, 1], ValueError),
        ([0, 1, 2, 3], ValueError),
        ([], ValueError),
        (torch.zeros(0, dtype=torch.int64), ValueError),
        (np.zeros((3, 0), int), ValueError),
        ([[0], [1]], ValueError),
        ([[[0]], [[1]], [[2]]], ValueError),
        (1.0, TypeError),
        ([0.0, 1.0, 2.0], TypeError),
        (np.array([0.0, 1.0, 2.0]), TypeError),
        (torch.tensor([0.5, 1, 2]), TypeError),
        (True, TypeError),
        ([True, False, True], TypeError),
        (1j, TypeError),
        ("cat", ValueError),
        ("All", ValueError),
        (["a", "b", "c"], TypeError),
        ([None, None, None], TypeError),
        ([[0], [1, 2], [3]], TypeError),
        ({0, 1, 2}, TypeError),
        ({0: 1}, TypeError),
        pytest.param(object(), TypeError, id="an object"),
        (2**70, TypeError),
    ],
    ids=str,
)
def test_bad_classes(images, classes, error):
    with pytest.raises(error, match="classes"):
        cam(make(), images, classes)


def test_several_classes_of_one_image_are_explained():
    with pytest.raises(ValueError, match=r"\[\[1, 2\]\]"):
        cam(make(), pictures(1, 3, 8, 8), [1, 2])


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (torch.full((1, 3, 8, 8), torch.nan), ValueError),
        (torch.full((1, 3, 8, 8), torch.inf), ValueError),
        (torch.zeros(1, 3, 8, 8).index_fill_(3, torch.tensor(7), -torch.inf), ValueError),
        (torch.zeros(3, 8, 8), ValueError),
        (torch.zeros(1, 1, 3, 8, 8), ValueError),
        (torch.zeros(0, 3, 8, 8), ValueError),
        (torch.zeros(1, 3, 0, 8), ValueError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), TypeError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.float64), ValueError),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16), ValueError),
        (torch.zeros(1, 3, 8, 8, device="meta"), ValueError),
        (np.zeros((1, 3, 8, 8), np.float32), TypeError),
        ([torch.zeros(3, 8, 8)], TypeError),
        (None, TypeError),
    ],
    ids=lambda value: None if isinstance(value, type) else f"{type(value).__name__}",
)
def test_bad_images(bad, error):
    with pytest.raises(error, match="images"):
        cam(make(), bad)


def test_three_dimensions_are_answered_with_the_remedy():
    with pytest.raises(ValueError, match=r"images\[None\]"):
        cam(make(), torch.zeros(3, 8, 8))


@pytest.mark.parametrize(
    "model", [None, lambda x: x, "resnet18", nn.Module], ids=["None", "function", "name", "class"]
)
def test_bad_models(images, model):
    with pytest.raises(TypeError, match="model"):
        cam(model, images)


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_scripted_models_are_refused(images):
    with torch.no_grad():
        traced = torch.jit.trace(make(), images)
    with pytest.raises(TypeError, match="script"):
        cam(traced, images)


@pytest.mark.parametrize(
    "head",
    [
        _nothing,
        lambda n, f: (gap(n, f),),
        lambda n, f: gap(n, f)[:, 0],
        lambda n, f: gap(n, f)[:, :, None, None],
        lambda n, f: {"scores": gap(n, f)},
    ],
    ids=["None", "tuple", "one number", "maps", "dictionary"],
)
def test_outputs_without_logits(images, head):
    with pytest.raises(ValueError, match="model must return logits"):
        cam(make(head), images)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_no_numbers(images, value):
    network = make()
    nn.init.constant_(network.fc.bias, value)
    with pytest.raises(ValueError, match="model put out logits that are NaN"):
        cam(network, images)


def test_an_error_of_the_network_comes_through_unchanged(images):
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        cam(make(_raises(RuntimeError("out of memory"))), images)


# ---------------------------------------------------------------- the course's network and photographs


def test_the_course_network_on_its_photographs(lite):
    names = ("chelsea", "coffee", "astronaut", "camera")
    found = cam(lite, lite.preprocess([photo(name) for name in names]))
    assert found.maps.shape == (4, 7, 7)
    assert_identity(found, lite.network.classifier.bias)
    top = [lite.categories[c] for c in found.classes]
    assert top[0] in ("tiger cat", "Egyptian cat", "tabby")
    assert top[1] == "espresso"
    assert top[3] == "tripod"
    # The astronaut is no class of ImageNet: what speaks is the helmet, lower right in the picture.
    helmet = found.maps[2].clamp(min=0)
    assert helmet[3:, 3:].sum() > 0.7 * helmet.sum()
    assert int(found.maps[2].argmax()) == 6 * 7 + 4


def test_finer_maps_from_larger_pictures(lite):
    found = cam(lite, lite.preprocess(photo("camera"), size=448), "all")
    assert found.maps.shape == (1, 1000, 14, 14)
    assert_identity(found, lite.network.classifier.bias)


def test_two_photographs_side_by_side_each_speak_for_their_class(lite):
    """Cat in the left half, coffee in the right one."""
    half = lite.view([photo("chelsea"), photo("coffee")])[:, :, 56:168]
    image = np.concatenate([*half], axis=1)
    cat, espresso = lite.categories.index("tabby"), lite.categories.index("espresso")
    with torch.no_grad():
        maps = cam(lite, lite.preprocess(image, size=448), [[cat, espresso]]).maps[0].clamp(min=0)
    left = maps[..., :7].sum((1, 2)) / maps.sum((1, 2))
    assert left[0] > 0.6
    assert left[1] < 0.4


def test_a_copy_and_a_half_precision_network_of_the_course(lite):
    small = copy.deepcopy(lite).bfloat16()
    found = cam(small, small.preprocess(photo("coffee")))
    assert found.maps.dtype == torch.float32
    assert small.categories[found.classes] == "espresso"
