"""Grad-CAM's relatives and integrated gradients: their definitions, other libraries, their axioms."""

from __future__ import annotations

import pytest
import torch
from support import printed
from torch import Tensor, nn

from lecturekit.evidence import cam, grad_cam, integrated_gradients

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = ("mean", "elementwise", "positive", "plusplus", "xgrad")


def images(batch=2, size=16, seed=0) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def network(scale: float = 1.0, activation: type = nn.ReLU) -> nn.Sequential:
    """Two convolutions and two linear layers; `scale` makes all gradients larger."""
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3, 2, 1), activation(), nn.Conv2d(8, 6, 3, 2, 1), activation()
    net = nn.Sequential(*body, nn.Flatten(), nn.Linear(96, 12), activation(), nn.Linear(12, 5)).eval()
    net[7].weight.data *= scale
    return net


def gap_network() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(8, 5)).eval()


def by_loops(weights: str, f: Tensor, g: Tensor) -> Tensor:
    """The published formula for one image, channel by channel, in double precision."""
    total = torch.zeros(f.shape[1:], dtype=torch.float64)
    for fk, gk in zip(f.double(), g.double(), strict=True):
        if weights == "plusplus":
            alpha = torch.where(gk != 0, gk**2 / (2 * gk**2 + fk.sum() * gk**3), 0)
            factor = (alpha * gk.clamp(min=0)).sum()
        elif weights == "xgrad":
            factor = (gk * fk).sum() / fk.sum() if fk.sum() != 0 else 0
        else:
            factor = {"mean": gk.mean(), "elementwise": gk, "positive": gk.clamp(min=0)}[weights]
        total += factor * fk
    return total


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("layer", ["1", "3"])
def test_weights_are_their_formula(weights, layer):
    net, k = network(), int(layer) + 1
    f = net[:k](images()).detach().requires_grad_()
    found = grad_cam(net, images(), [[1, 3], [2, 0]], layer=layer, weights=weights)
    for n in range(2):
        score = net[k:](f).gather(1, torch.tensor([[1, 3], [2, 0]])[:, n : n + 1]).sum()
        (g,) = torch.autograd.grad(score, f)
        wanted = torch.stack([by_loops(weights, a, b) for a, b in zip(f.detach(), g, strict=True)])
        torch.testing.assert_close(
            found.maps[:, n].double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max())
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("mean", "GradCAM"),
        ("elementwise", "HiResCAM"),
        ("positive", "LayerCAM"),
        ("plusplus", "GradCAMPlusPlus"),
        ("xgrad", "XGradCAM"),
    ],
)
def test_pytorch_grad_cam_agrees(weights, name):
    """For Grad-CAM++ where gradients are large: it adds 1e-6 to their squares, which are often smaller."""
    library = pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam is not installed")
    targets = __import__("pytorch_grad_cam.utils.model_targets", fromlist=["ClassifierOutputTarget"])
    net = network(scale=1000)
    with getattr(library, name)(net, [net[1]]) as extractor:
        theirs = extractor(images(), [targets.ClassifierOutputTarget(k) for k in (1, 3)])
    ours = grad_cam(net, images(), [1, 3], layer="1", weights=weights).maps.clamp(min=0)
    ours = ours - ours.amin((1, 2), keepdim=True)
    ours = ours / (1e-7 + ours.amax((1, 2), keepdim=True))
    up = nn.functional.interpolate(torch.as_tensor(theirs)[:, None], (8, 8), mode="area")[:, 0]
    up = (up - up.amin((1, 2), keepdim=True)) / (
        up.amax((1, 2), keepdim=True) - up.amin((1, 2), keepdim=True)
    )
    own = nn.functional.interpolate(_as_cv2(ours), (8, 8), mode="area")[:, 0]
    own = (own - own.amin((1, 2), keepdim=True)) / (
        own.amax((1, 2), keepdim=True) - own.amin((1, 2), keepdim=True)
    )
    torch.testing.assert_close(own, up, rtol=0, atol=1e-5)


def _as_cv2(maps: Tensor) -> Tensor:
    cv2 = pytest.importorskip("cv2")
    return torch.stack([torch.as_tensor(cv2.resize(m.numpy(), (16, 16))) for m in maps])[:, None]


@pytest.mark.filterwarnings("ignore")
def test_torchcam_and_captum_agree():
    torchcam = pytest.importorskip("torchcam.methods", reason="torchcam is not installed")
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    net = network()
    with torchcam.LayerCAM(net, "1", input_shape=(3, 16, 16)) as extractor:
        (theirs,) = extractor([1, 3], net(images()), normalized=False)
    found = grad_cam(net, images(), [1, 3], layer="1", weights="positive").maps
    torch.testing.assert_close(found.clamp(min=0), theirs, rtol=1e-5, atol=1e-6)
    product = captum.LayerGradientXActivation(net, net[1]).attribute(images(), torch.tensor([1, 3])).sum(1)
    found = grad_cam(net, images(), [1, 3], layer="1", weights="elementwise").maps
    torch.testing.assert_close(found, product.detach(), rtol=1e-5, atol=1e-6)


def test_on_a_gap_head_hirescam_is_cam_over_positions():
    wanted = cam(gap_network(), images(), [1, 3]).maps / 14**2
    found = grad_cam(gap_network(), images(), [1, 3], weights="elementwise").maps
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_the_mean_of_xgrad_is_that_of_hirescam():
    found = {
        w: grad_cam(network(), images(), 1, layer="3", weights=w).maps.mean((1, 2))
        for w in ("xgrad", "elementwise")
    }
    torch.testing.assert_close(found["xgrad"], found["elementwise"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_dead_features_give_zeros_and_no_nan(weights):
    net = network()
    net[0].bias.data[:] = -1e3
    assert grad_cam(net, images(), 1, layer="1", weights=weights).maps.equal(torch.zeros(2, 8, 8))


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="weights must be one of 'mean', 'elementwise'"):
        grad_cam(network(), images(), 1, weights="max")


# ---------------------------------------------------------------- integrated gradients


@pytest.mark.parametrize("classes", [1, [4, 0], [[1, 2], [3, 4]], None, lambda y: y[:, 1] - y[:, 2]])
@pytest.mark.parametrize(
    "baseline", [0.0, -0.5, torch.full((3, 1, 1), 0.2)], ids=["zero", "number", "colour"]
)
def test_integrated_gradients_are_complete(classes, baseline):
    net = network(activation=nn.GELU)
    found = integrated_gradients(net, images(), classes, baseline, steps=64)
    start = torch.zeros_like(images()) + baseline
    with torch.no_grad():
        rise = net(images()) - net(start)
    wanted = (
        classes(rise)
        if callable(classes)
        else rise.gather(1, found.classes.reshape(2, -1)).reshape(found.maps.shape[:-2])
    )
    torch.testing.assert_close(found.maps.sum((-2, -1)), wanted, rtol=1e-3, atol=1e-4)


def test_integrated_gradients_of_a_linear_network_need_one_step():
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 5)).eval()
    wanted = (net[1].weight[2].reshape(3, 16, 16) * images()).sum(1).detach()
    torch.testing.assert_close(integrated_gradients(net, images(), 2, steps=1).maps, wanted)


def test_captum_agrees_on_integrated_gradients():
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    wanted = (
        captum.IntegratedGradients(network())
        .attribute(images(), 0.0, torch.tensor([1, 3]), n_steps=20)
        .sum(1)
    )
    found = integrated_gradients(network(), images(), [1, 3], steps=20).maps
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": True}, "steps"),
        ({"baseline": torch.zeros(2, 2)}, "baseline must broadcast"),
        ({"baseline": torch.nan}, "baseline"),
        ({"baseline": torch.full((1,), torch.inf)}, "baseline must be finite"),
    ],
    ids=range(5),
)
def test_integrated_gradients_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        integrated_gradients(network(), images(), 1, **options)


# ---------------------------------------------------------------- imports


def test_imports_stay_light():
    heavy = "{'torchvision', 'timm', 'matplotlib', 'torch._dynamo', 'scipy', 'skimage', 'cv2', 'IPython'}"
    code = f"import sys, lecturekit.models, lecturekit.evidence; print(sorted({heavy} & set(sys.modules)))"
    assert printed(code) == "[]\n"


@pytest.mark.parametrize("head", ["linear", "weight_norm", "cosine", "scaled", "two"])
@pytest.mark.parametrize("classes", [3, [[0, 3], [4, 1]]])
def test_only_the_rows_asked_for_give_the_gradient_of_the_whole_head(head, classes):
    torch.manual_seed(0)
    last = nn.Linear(8, 5)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.hidden = nn.Linear(8, 8)
            self.last = nn.utils.parametrizations.weight_norm(last) if head == "weight_norm" else last

        def forward(self, x):
            x = self.conv(x).relu().mean((2, 3))
            if head == "two":
                x = self.hidden(x).relu_()
            if head == "cosine":
                return nn.functional.linear(x, nn.functional.normalize(self.last.weight))
            return self.last(x) * 2 if head == "scaled" else self.last(x)

    network = Network().eval()
    images = torch.randn(2, 3, 9, 9)
    found = grad_cam(network, images, classes)
    by_name = grad_cam(network, images, classes, layer="conv")
    rectified = network.conv(images).relu()
    leaf = rectified.detach().requires_grad_()
    x = leaf.mean((2, 3))
    if head == "two":
        x = network.hidden(x).relu()
    weight = nn.functional.normalize(last.weight) if head == "cosine" else network.last.weight
    logits = nn.functional.linear(x, weight, None if head == "cosine" else network.last.bias)
    logits = logits * 2 if head == "scaled" else logits
    table = torch.tensor(classes).expand(2) if isinstance(classes, int) else torch.tensor(classes)
    for k in range(1 if isinstance(classes, int) else 2):
        column = table if isinstance(classes, int) else table[:, k]
        (g,) = torch.autograd.grad(logits[range(2), column].sum(), leaf, retain_graph=True)
        wanted = (g.mean((2, 3), keepdim=True) * leaf).sum(1)
        maps = found.maps if isinstance(classes, int) else found.maps[:, k]
        torch.testing.assert_close(maps, wanted.detach())
    torch.testing.assert_close(found.logits, logits.detach())
    assert by_name.maps.shape == found.maps.shape
