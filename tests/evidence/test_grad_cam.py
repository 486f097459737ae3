"""Gradient methods: equal to full autograd and to CAM, exact with in-place layers, no traces."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import _global_forward_pre_hooks
from torch.overrides import TorchFunctionMode, _get_current_function_mode
from torchvision.models import densenet, resnet, vgg

from lecturekit.datasets.photos import PHOTOS, photo
from lecturekit.evidence import (
    cam,
    counterfactual,
    grad_cam,
    guided_grad_cam,
    saliency,
    smooth_grad,
)
from lecturekit.evidence.maps import rectify, upsample
from lecturekit.models import load_classifier

METHODS = pytest.mark.parametrize("method", [grad_cam, saliency, smooth_grad, guided_grad_cam])


def pictures(batch=2, size=64, seed=0) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def settled(network: nn.Module, seed: int = 1) -> nn.Module:
    """In eval mode, with statistics that are not those of fresh batch norms."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            module.bias.data.copy_(0.3 * torch.randn(module.num_features, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def residual() -> nn.Module:
    torch.manual_seed(0)
    return settled(resnet.ResNet(resnet.BasicBlock, [1, 2, 1, 1], num_classes=7))


@pytest.fixture(scope="module")
def dense() -> nn.Module:
    torch.manual_seed(0)
    return settled(densenet.DenseNet(8, (2, 3), num_init_features=16, bn_size=2, num_classes=7))


class TwoLayers(nn.Module):
    """Flatten, linear, ReLU, linear after two convolutions: a network without a class activation map."""

    def __init__(self, inplace: bool = True, functional: bool = False, activation: type = nn.ReLU):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 6, 3, 2, 1)
        self.hidden, self.last = nn.Linear(6 * 16 * 16, 12), nn.Linear(12, 5)
        self.functional = functional
        self.acts = nn.ModuleList([activation(inplace) for _ in range(3)])
        self.eval()

    def act(self, k: int, x: Tensor) -> Tensor:
        return F.relu(x) if self.functional else self.acts[k](x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(1, self.second(self.act(0, self.first(x))))
        return self.last(self.act(2, self.hidden(x.flatten(1))))


def full_autograd(network: nn.Module, images: Tensor, columns: list[int], layer: str) -> Tensor:
    """Grad-CAM by its definition, with the graph of the whole network.

    The network goes on with a copy of the layer's output: an in-place layer after it must not overwrite what
    is multiplied, nor take over its place in the graph.
    """
    kept = []

    def keep(_module, _inputs, output):
        kept[:] = [output]
        return output.clone()

    hook = network.get_submodule(layer).register_forward_hook(keep)
    score = network(images).gather(1, torch.tensor(columns)[:, None]).sum()
    hook.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return (gradient.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1)


def assert_near(found: Tensor, wanted: Tensor, share: float) -> None:
    """Everywhere within `share` of the largest wanted value, which is not zero."""
    largest = float(wanted.abs().max())
    assert largest > 0
    torch.testing.assert_close(found, wanted, rtol=0, atol=share * largest)


# ---------------------------------------------------------------- equal to what it must be equal to


@pytest.fixture(scope="module")
def lite():
    return load_classifier(device="cpu")


def test_on_a_gap_network_it_is_cam_over_the_number_of_positions(lite):
    images = lite.preprocess([photo(name) for name in PHOTOS])
    by_gradient, by_weights = grad_cam(lite, images), cam(lite, images)
    assert by_gradient.classes.equal(by_weights.classes)
    assert by_gradient.logits.equal(by_weights.logits)
    difference = by_gradient.maps * 49 - by_weights.maps
    assert float(difference.norm() / by_weights.maps.norm()) < 1e-6


def test_in_double_precision_it_is_so_to_twelve_digits(residual):
    network, images = copy.deepcopy(residual).double(), pictures().double()
    found = grad_cam(network, images, [[0, 3], [5, 6]])
    wanted = cam(network, images, [[0, 3], [5, 6]]).maps / 4
    assert found.maps.dtype == torch.float64
    assert_near(found.maps, wanted, 1e-12)


RESNET_LAYERS = ["conv1", "bn1", "layer1", "layer2.0.conv1", "layer2.0.bn2", "layer2.1.relu", "layer4.0"]
DENSENET_LAYERS = ["conv0", "denseblock1", "transition1.conv", "denseblock2.denselayer1.norm2", "norm5"]


@pytest.mark.parametrize("layer", RESNET_LAYERS)
def test_equals_full_autograd_on_resnet(residual, layer):
    found = grad_cam(residual, pictures(), [2, 5], layer=layer)
    assert_near(found.maps, full_autograd(residual, pictures(), [2, 5], layer), 1e-5)


@pytest.mark.parametrize("layer", DENSENET_LAYERS)
def test_equals_full_autograd_on_densenet(dense, layer):
    found = grad_cam(dense, pictures(), [2, 5], layer=f"features.{layer}")
    assert_near(found.maps, full_autograd(dense, pictures(), [2, 5], f"features.{layer}"), 1e-5)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_equals_full_autograd_without_a_pool(layer):
    found = grad_cam(TwoLayers(), pictures(), [2, 4], layer=layer)
    assert_near(found.maps, full_autograd(TwoLayers(), pictures(), [2, 4], layer), 1e-5)


def test_without_a_pool_the_default_is_the_flattened_map():
    found = grad_cam(TwoLayers(), pictures(), 1)
    assert_near(found.maps, full_autograd(TwoLayers(), pictures(), [1, 1], "acts.1"), 1e-5)
    with pytest.raises(ValueError, match="grad_cam"):
        cam(TwoLayers(), pictures(), 1)


@pytest.mark.parametrize("layer", [None, *RESNET_LAYERS])
def test_in_place_activations_change_nothing(residual, layer):
    other = copy.deepcopy(residual)
    for module in other.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    found, wanted = grad_cam(residual, pictures(), 1, layer), grad_cam(other, pictures(), 1, layer)
    assert found.maps.equal(wanted.maps)
    assert found.logits.equal(wanted.logits)


def test_a_batch_is_its_images(residual):
    images = pictures(3)
    together = grad_cam(residual, images, [1, 2, 3], layer="layer2")
    for i in range(3):
        alone = grad_cam(residual, images[i : i + 1], i + 1, layer="layer2")
        assert_near(together.maps[i : i + 1], alone.maps, 1e-5)


def test_a_module_that_runs_several_times_counts_the_last_time():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.start, self.again, self.end = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

        def forward(self, x):
            return self.end(self.again(self.again(self.start(x)).relu()).square().mean((2, 3)))

    network = Twice().eval()
    found = grad_cam(network, pictures(size=12), [0, 2], layer="again")
    assert_near(found.maps, full_autograd(network, pictures(size=12), [0, 2], "again"), 1e-5)


# ---------------------------------------------------------------- channels last, and no feature maps at all


def test_torchvision_swin():
    torch.manual_seed(0)
    swin = torchvision.models.SwinTransformer([4, 4], 12, [1, 1], [1, 2], [4, 4], num_classes=7).eval()
    assert_near(grad_cam(swin, pictures(), 3).maps, cam(swin, pictures(), 3).maps / 64, 1e-5)


def test_timm_swin():
    torch.manual_seed(0)
    swin = timm.models.swin_transformer.SwinTransformer(
        img_size=64, embed_dim=12, depths=(1, 1), num_heads=(1, 2), window_size=4, num_classes=7
    ).eval()
    assert_near(grad_cam(swin, pictures(), 3).maps, cam(swin, pictures(), 3).maps / 64, 1e-5)


def test_a_transformer_without_feature_maps_is_refused():
    vit = timm.models.vision_transformer.VisionTransformer(
        img_size=64, patch_size=16, embed_dim=12, depth=2, num_heads=2, num_classes=7
    ).eval()
    with pytest.raises(ValueError, match="layer must be named"):
        grad_cam(vit, pictures())
    with pytest.raises(ValueError, match=r"feature maps \(B, C, h, w\), got shape \(2, 17, 12\)"):
        grad_cam(vit, pictures(), layer="blocks.0")


class Tokens(nn.Module):
    """Feature maps, then `attending` rounds of attention between their positions, and the mean of them."""

    def __init__(self, attending: nn.Module):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 16, stride=16)
        self.attending, self.answer = attending, nn.Linear(8, 7)

    def forward(self, images):
        return self.answer(self.attending(self.stem(images).flatten(2).transpose(1, 2)).mean(1))


class Attention(nn.Module):
    """Self-attention, once."""

    def __init__(self):
        super().__init__()
        self.heads = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.heads(x, x, x)[0]


def two_layers_of_a_transformer():
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("quick", [False, True], ids=["one by one", "in one call"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: Tokens(two_layers_of_a_transformer()),
        lambda: torchvision.models.VisionTransformer(64, 16, 2, 3, 12, 24, num_classes=7),
    ],
    ids=["torch", "torchvision"],
)
def test_patches_of_a_transformer_are_no_default(network, quick):
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(quick)
    try:
        with pytest.raises(ValueError, match="layer must be named"):
            grad_cam(network().eval(), pictures())
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def test_a_pool_that_attends_once_is_followed():
    network = Tokens(Attention()).eval()
    found, named = grad_cam(network, pictures()), grad_cam(network, pictures(), layer="stem")
    assert found.maps.shape == (2, 4, 4)
    torch.testing.assert_close(found.maps, named.maps)


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("classes", "table"),
    [
        (3, [[3], [3]]),
        ([4, 0], [[4], [0]]),
        (torch.tensor([4, 0]), [[4], [0]]),
        ([[1, 4], [2, 2]], [[1, 4], [2, 2]]),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [grad_cam, saliency])
def test_forms_of_classes(method, classes, table):
    found = method(TwoLayers(), pictures(), classes)
    wanted = torch.stack([method(TwoLayers(), pictures(), list(c)).maps for c in zip(*table, strict=True)], 1)
    several = len(table[0]) > 1
    assert_near(found.maps, wanted if several else wanted[:, 0], 1e-6)
    assert found.classes.tolist() == (table if several else [row[0] for row in table])
    torch.testing.assert_close(found.logits, TwoLayers()(pictures()).detach())
    assert not found.maps.requires_grad
    assert not found.logits.requires_grad


@METHODS
def test_no_class_is_the_top_class(method):
    found = method(TwoLayers(), pictures())
    assert found.classes.equal(found.logits.argmax(1))
    assert found.maps.equal(method(TwoLayers(), pictures(), found.classes).maps)


@METHODS
def test_all_classes_are_refused(method):
    with pytest.raises(ValueError, match="classes='all' would take a backward pass a class"):
        method(TwoLayers(), pictures(), "all")


@METHODS
@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (5, ValueError, r"0\.\.4"),
        (-1, ValueError, r"0\.\.4"),
        ([1, 2, 3], ValueError, r"shape \(3,\)"),
        (1.5, TypeError, "whole numbers"),
        (lambda logits: logits, ValueError, r"one score an image \(2,\) or a sum, got shape \(2, 5\)"),
        (lambda logits: 1.0, ValueError, "got float"),
        (lambda logits: torch.zeros(2), ValueError, "does not depend"),
    ],
    ids=["high", "negative", "three", "float", "matrix", "number", "constant"],
)
def test_classes_that_cannot_be(method, classes, error, message):
    with pytest.raises(error, match=message):
        method(TwoLayers(), pictures(), classes)


@pytest.mark.parametrize("summed", [False, True])
def test_a_difference_of_two_classes(summed):
    def score(logits):
        return logits[:, 1].sum() - logits[:, 3].sum() if summed else logits[:, 1] - logits[:, 3]

    found = grad_cam(TwoLayers(), pictures(), score)
    both = grad_cam(TwoLayers(), pictures(), [[1, 3]] * 2).maps
    assert_near(found.maps, both[:, 0] - both[:, 1], 1e-5)
    assert found.classes is None


class Segments(nn.Module):
    """A map of scores for each class, in a dictionary, as torchvision's segmentation networks return it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        features = self.backbone(x).relu_()
        return {"out": F.interpolate(self.head(features), x.shape[-2:], mode="bilinear")}


def test_a_region_of_a_segmentation():
    network = Segments().eval()

    def corner(output):
        return output["out"][:, 2, :10, :10].mean((1, 2))

    found = grad_cam(network, pictures(size=20), corner, layer="backbone")
    features = network.backbone(pictures(size=20)).detach().requires_grad_()
    scores = F.interpolate(network.head(features.relu()), (20, 20), mode="bilinear")
    (gradient,) = torch.autograd.grad(corner({"out": scores}).sum(), features)
    assert_near(found.maps, (gradient.mean((2, 3), keepdim=True) * features).sum(1).detach(), 1e-5)
    assert set(found.logits) == {"out"}
    with pytest.raises(ValueError, match="logits"):
        grad_cam(network, pictures(size=20), 2, layer="backbone")


# ---------------------------------------------------------------- layers


def test_a_layer_by_name_and_by_module():
    network = TwoLayers()
    by_name = grad_cam(network, pictures(), 1, "first").maps
    assert by_name.equal(grad_cam(network, pictures(), 1, network.first).maps)
    assert by_name.shape == (2, 32, 32)


def with_spare(output_of_spare=None) -> nn.Module:
    """`TwoLayers` with a layer ``spare`` that does not run, or whose output goes nowhere."""
    network = TwoLayers()
    network.spare = nn.Conv2d(3, 2, 1)
    if output_of_spare:
        network.register_forward_pre_hook(lambda module, inputs: (module.spare(inputs[0]), None)[1])
    return network


@pytest.mark.parametrize(
    ("network", "layer", "error", "message"),
    [
        (TwoLayers(), "frist", ValueError, "'frist' is not in the model.*first"),
        (TwoLayers(), "", ValueError, "is not in the model"),
        (TwoLayers(), 3, TypeError, "got int"),
        (TwoLayers(), nn.ReLU(), ValueError, "ReLU that is no part of the model"),
        (TwoLayers(), "hidden", ValueError, r"feature maps \(B, C, h, w\), got shape \(2, 12\)"),
        (with_spare(), "spare", ValueError, "spare did not run"),
        (with_spare(True), "spare", ValueError, "does not depend on spare"),
    ],
    ids=["misspelt", "empty", "number", "foreign", "no_map", "not_run", "no_influence"],
)
def test_layers_that_cannot_be(network, layer, error, message):
    with pytest.raises(error, match=message):
        grad_cam(network, pictures(), 1, layer)


# ---------------------------------------------------------------- any mode, any wrapper, no trace


@pytest.mark.parametrize("layer", [None, "layer2.0.bn1"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_grad_modes(residual, mode, layer):
    wanted = grad_cam(residual, pictures(), 1, layer).maps
    with mode():
        images, before = pictures(), torch.is_grad_enabled()
        found = grad_cam(residual, images, 1, layer)
        assert torch.is_grad_enabled() == before
        assert saliency(residual, images, 1).maps.shape == (2, 64, 64)
    assert found.maps.equal(wanted)


@pytest.mark.parametrize("layer", [None, "layer2"])
def test_autocast(residual, layer):
    wanted = grad_cam(residual, pictures(), 1, layer).maps
    with torch.autocast("cpu", torch.bfloat16):
        found = grad_cam(residual, pictures(), 1, layer)
        assert torch.is_autocast_enabled("cpu")
    assert found.maps.dtype == torch.float32
    assert float((found.maps - wanted).norm() / wanted.norm()) < 0.2


def test_bf16(residual):
    network, images = copy.deepcopy(residual).bfloat16(), pictures().bfloat16()
    found = grad_cam(network, images, 1, "layer2")
    assert found.maps.dtype == torch.float32
    wanted = grad_cam(residual, pictures(), 1, "layer2").maps
    assert float((found.maps - wanted).norm() / wanted.norm()) < 0.2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: network.requires_grad_(False),
        lambda network: nn.DataParallel(network),
        lambda network: torch.compile(network, backend="eager"),
        lambda network: nn.Sequential(torch.compile(network, backend="eager")),
        lambda network: network.train(),
    ],
    ids=["frozen", "data_parallel", "compiled", "compiled_within", "train"],
)
@METHODS
def test_wrappers(method, wrap):
    network = wrap(TwoLayers())
    flags = [module.training for module in network.modules()]
    assert_near(method(network, pictures(), 1).maps, method(TwoLayers(), pictures(), 1).maps, 1e-5)
    assert [module.training for module in network.modules()] == flags


def traces(network: nn.Module, images: Tensor) -> dict:
    """What a call could leave behind, apart from the values of weights and statistics."""
    modules = list(network.modules())
    return {
        "hooks": [
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in modules
        ],
        "flags": [m.training for m in modules],
        "needs": [p.requires_grad for p in network.parameters()],
        "gradients": [p.grad for p in [*network.parameters(), images]],
        "mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "in_place": [getattr(m, "inplace", None) for m in modules],
    }


@METHODS
@pytest.mark.parametrize("classes", [1, 99, lambda logits: 1 / 0], ids=["success", "no_such_class", "raises"])
def test_no_trace(method, classes):
    network, images = settled(resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=7)), pictures()
    network.layer2.train()
    network.fc.requires_grad_(False)
    before, state, pixels = traces(network, images), copy.deepcopy(network.state_dict()), images.clone()
    if classes == 1:
        method(network, images, classes)
    else:
        with pytest.raises((ValueError, ZeroDivisionError)):
            method(network, images, classes)
    assert traces(network, images) == before
    assert images.equal(pixels)
    assert all(value.equal(state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("layer", ["spare", "hidden"])
def test_no_trace_after_a_bad_layer(layer):
    network, images = with_spare(), pictures()
    before = traces(network, images)
    with pytest.raises(ValueError, match="layer"):
        grad_cam(network, images, 1, layer)
    assert traces(network, images) == before


def test_nothing_is_kept_for_the_trunk(lite):
    own = {t.untyped_storage().data_ptr() for t in [*lite.parameters(), *lite.buffers()]}
    kept = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x  # alive, so that no other storage takes its address
        return x

    images = pictures(16, 224)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        grad_cam(lite, images, 1)
    size = sum(x.untyped_storage().nbytes() for at, x in kept.items() if at not in own)
    assert 0 < size <= 2**20


# ---------------------------------------------------------------- other libraries


class Calls(TorchFunctionMode):
    """Counts the calls of linear layers."""

    linear = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.linear += func is F.linear
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardswish])
def test_no_linear_layer_of_the_head_runs_again(activation):
    """Not even one whose answer an activation in place wrote over."""
    network = TwoLayers(activation=activation)
    with Calls() as calls:
        found = grad_cam(network, pictures(), [1, 4])
    assert calls.linear == 2
    assert_near(found.maps, full_autograd(network, pictures(), [1, 4], "acts.1"), 1e-6)


class Observed(nn.Sequential):
    """Notes, for each of its layers, whether some mode watches as it begins."""

    def forward(self, x: Tensor) -> Tensor:
        self.watched = []
        for module in self:
            module.register_forward_pre_hook(self.note)
            x = module(x)
        return x

    def note(self, *_):
        self.watched.append(_get_current_function_mode() is not None)


def test_calls_are_watched_no_longer_than_it_takes_to_tell_the_axis():
    layers = [nn.Sequential(nn.Conv2d(n, 8, 3), nn.ReLU()) for n in (3, 8, 8, 8)]
    network = Observed(*layers, nn.Flatten(), nn.Linear(8 * 64, 5)).eval()
    found = grad_cam(network, pictures(size=16), 1, layer="1")
    assert network.watched == [False, False, True, False, False, False]
    assert not _global_forward_pre_hooks
    plain = nn.Sequential(*network)
    assert_near(found.maps, full_autograd(plain, pictures(size=16), [1, 1], "1"), 1e-6)


def test_other_watchers_are_left_alone():
    """The network watches itself from before the axis is known till after: nobody takes its mode off."""

    class Watching(nn.Module):
        def __init__(self, *layers: nn.Module):
            super().__init__()
            self.layers = nn.ModuleList(layers)

        def forward(self, x: Tensor) -> Tensor:
            first, *others, last = self.layers
            x = first(x)
            with Calls() as calls:
                for module in others:
                    x = module(x)
                assert _get_current_function_mode() is calls
            return last(x)

    torch.manual_seed(0)
    network = Watching(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 144, 5))
    found = grad_cam(network.eval(), pictures(size=16), 1, layer="layers.0")
    assert _get_current_function_mode() is None
    assert not _global_forward_pre_hooks
    assert_near(found.maps, full_autograd(network, pictures(size=16), [1, 1], "layers.0"), 1e-6)


def captum_map(network, images, k):
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    return attr.LayerGradCam(network, network.second).attribute(images, k)[:, 0].detach()


def torchcam_map(network, images, k):
    methods = pytest.importorskip("torchcam.methods", reason="torchcam is not installed")
    with methods.GradCAM(network, network.second, input_shape=tuple(images.shape[1:])) as extractor:
        return extractor(k, network(images), normalized=False)[0].detach()  # with its ReLU


def pytorch_grad_cam_map(network, images, k):
    library = pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam is not installed")
    with library.GradCAM(network, [network.second]) as extractor:  # its own result is scaled by min-max
        kept = extractor.activations_and_grads
        kept(images)[:, k].sum().backward()
        return (kept.gradients[0].mean((2, 3), keepdim=True) * kept.activations[0]).sum(1).detach()


@pytest.mark.parametrize("library", [captum_map, pytorch_grad_cam_map])
def test_libraries_agree_where_nothing_works_in_place(library):
    wanted = library(TwoLayers(inplace=False), pictures(), 1)
    assert_near(grad_cam(TwoLayers(inplace=False), pictures(), 1, "second").maps, wanted, 1e-5)


def test_torchcam_agrees_where_nothing_works_in_place():
    wanted = torchcam_map(TwoLayers(inplace=False), pictures(), 1)
    assert_near(rectify(grad_cam(TwoLayers(inplace=False), pictures(), 1, "second").maps), wanted, 1e-5)


def test_with_an_in_place_relu_three_libraries_give_three_answers():
    """What notebook 06 says of captum 0.9.0, torchcam 0.5.0 and pytorch-grad-cam 1.5.7."""
    images, out_of_place = pictures(), TwoLayers(inplace=False)
    right = full_autograd(out_of_place, images, [1, 1], "second")
    after = full_autograd(out_of_place, images, [1, 1], "acts.1")
    assert_near(grad_cam(TwoLayers(), images, 1, "second").maps, right, 1e-5)
    assert_near(captum_map(TwoLayers(), images, 1), right, 1e-5)
    # The map of the layer after the ReLU:
    assert_near(torchcam_map(TwoLayers(), images, 1), rectify(after), 1e-5)
    # Gradients of the layer, features of the one after:
    mixed = pytorch_grad_cam_map(TwoLayers(), images, 1)
    scale = float(right.abs().max())
    assert float((mixed - right).abs().max()) > 0.1 * scale
    assert float((mixed - after).abs().max()) > 0.1 * scale
    features = out_of_place.second(out_of_place.acts[0](out_of_place.first(images))).detach().requires_grad_()
    logits = out_of_place.last(out_of_place.acts[2](out_of_place.hidden(features.relu().flatten(1))))
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), features)
    assert_near(mixed, (gradient.mean((2, 3), keepdim=True) * features.relu()).sum(1).detach(), 1e-5)


# ---------------------------------------------------------------- saliency and its kin


def test_saliency_is_the_largest_absolute_gradient(residual):
    images = pictures().requires_grad_()
    score = residual(images)[[0, 1], [2, 5]].sum()
    (gradient,) = torch.autograd.grad(score, images)
    found = saliency(residual, pictures(), [2, 5])
    assert_near(found.maps, gradient.abs().amax(1), 1e-6)
    assert found.maps.min() >= 0


def test_saliency_of_images_that_are_part_of_a_graph():
    images = pictures().requires_grad_()
    found = saliency(TwoLayers(), 2 * images, 1)
    assert_near(found.maps, saliency(TwoLayers(), 2 * pictures(), 1).maps, 1e-6)
    assert images.grad is None


def test_saliency_where_the_first_layer_works_in_place():
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval()
    images = pictures(size=8)
    before = images.clone()
    wanted = (network[2].weight[1].reshape(3, 8, 8) * (images > 0)).abs().amax(1)
    assert_near(saliency(network, images, 1).maps, wanted.detach(), 1e-6)
    assert images.equal(before)


def test_captum_agrees_on_saliency():
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    wanted = attr.Saliency(TwoLayers()).attribute(pictures().requires_grad_(), 1).amax(1)
    assert_near(saliency(TwoLayers(), pictures(), 1).maps, wanted, 1e-6)


def small_vgg(inplace: bool = True) -> nn.Module:
    """VGG's layers, with a head of a size for tests."""
    torch.manual_seed(0)
    layers = vgg.make_layers([8, "M", 12, 12, "M"])
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(12 * 8 * 8, 20), nn.ReLU(), nn.Linear(20, 5))
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = inplace
    return network.eval()


def guided_reference(network: nn.Sequential, images: Tensor, k: int, low: float, high: float) -> Tensor:
    """The definition, layer by layer: back through each ReLU go positive gradients, where the ReLU passed."""
    inputs = [images]
    for module in network:
        inputs.append(copy.deepcopy(module)(inputs[-1].clone()).detach())
    gradient = F.one_hot(torch.tensor([k] * len(images)), inputs[-1].shape[1]).float()
    for module, x in zip(reversed(network), reversed(inputs[:-1]), strict=True):
        x = x.clone().requires_grad_()
        (linear,) = torch.autograd.grad(module(x.clone()), x, gradient)
        passes = isinstance(module, nn.ReLU | nn.ReLU6)
        gradient = gradient.clamp(min=0) * ((x > low) & (x < high)) if passes else linear
    return gradient.abs().amax(1).detach()


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_is_its_definition_on_vgg(inplace):
    wanted = guided_reference(small_vgg(), pictures(size=32), 1, 0, torch.inf)
    found = saliency(small_vgg(inplace), pictures(size=32), 1, guided=True)
    assert_near(found.maps, wanted, 1e-5)
    assert found.logits.equal(small_vgg(inplace)(pictures(size=32)).detach())


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_captum_agrees_on_guided_backpropagation():
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    images = pictures(size=32).requires_grad_()
    wanted = attr.GuidedBackprop(small_vgg(inplace=False)).attribute(images, 1).abs().amax(1).detach()
    assert_near(saliency(small_vgg(), pictures(size=32), 1, guided=True).maps, wanted, 1e-5)


def test_guided_meets_functional_relus_too():
    wanted = saliency(TwoLayers(), pictures(), 1, guided=True)
    found = saliency(TwoLayers(functional=True), pictures(), 1, guided=True)
    assert found.maps.equal(wanted.maps)
    assert not found.maps.equal(saliency(TwoLayers(), pictures(), 1).maps)


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_stops_where_relu6_is_flat(inplace):
    torch.manual_seed(0)
    convolution, head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, 3)
    network = nn.Sequential(convolution, nn.ReLU6(inplace), nn.Flatten(), head).eval()
    images = 10 * pictures(size=8)
    assert (convolution(images) > 6).any()
    wanted = guided_reference(network, images, 1, 0, 6)
    assert_near(saliency(network, images, 1, guided=True).maps, wanted, 1e-5)


def test_guided_needs_a_relu():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="no"):
        saliency(network, pictures(), 1, guided=True)


def test_smooth_grad_without_noise_is_saliency():
    found = smooth_grad(TwoLayers(), pictures(), 1, samples=3, noise=0)
    assert_near(found.maps, saliency(TwoLayers(), pictures(), 1).maps, 1e-6)


def test_smooth_grad_keeps_to_its_seed():
    state = torch.get_rng_state()
    once, again, other = (smooth_grad(TwoLayers(), pictures(), 1, 2, 0.2, seed=s).maps for s in (3, 3, 4))
    assert torch.get_rng_state().equal(state)
    assert once.equal(again)
    assert not once.equal(other)


def test_smooth_grad_is_the_gradient_averaged_over_noise():
    network, images = TwoLayers(), pictures()
    generator = torch.Generator().manual_seed(5)
    span = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
    total = torch.zeros_like(images)
    for _ in range(3):
        noisy = images + 0.1 * span * torch.randn(images.shape, generator=generator)
        noisy.requires_grad_()
        total += torch.autograd.grad(network(noisy)[:, 1].sum(), noisy)[0]
    found = smooth_grad(network, images, 1, samples=3, noise=0.1, seed=5)
    assert_near(found.maps, (total / 3).abs().amax(1), 1e-5)
    assert found.logits.equal(network(images).detach())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"samples": 0}, "samples"), ({"samples": 1.5}, "samples"), ({"noise": -1}, "noise")],
    ids=str,
)
def test_smooth_grad_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        smooth_grad(TwoLayers(), pictures(), 1, **options)


@pytest.mark.parametrize("classes", [1, [[1, 2], [3, 4]]], ids=str)
def test_guided_grad_cam_is_the_product(classes):
    images = pictures()
    found = guided_grad_cam(TwoLayers(), images, classes, layer="first")
    coarse = rectify(grad_cam(TwoLayers(), images, classes, layer="first").maps)
    fine = saliency(TwoLayers(), images, classes, guided=True).maps
    assert_near(found.maps, fine * upsample(coarse, 64), 1e-6)
    assert found.maps.shape == fine.shape


def test_counterfactual_turns_the_sign():
    evidence = grad_cam(TwoLayers(), pictures(), 1)
    turned = counterfactual(evidence)
    assert turned.maps.equal(-evidence.maps)
    assert turned.logits is evidence.logits
    against = grad_cam(TwoLayers(), pictures(), lambda logits: -logits[:, 1])
    assert_near(turned.maps, against.maps, 1e-6)
