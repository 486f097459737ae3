"""What strangers' networks brought to light, and more of each kind: the right map, or the right reason."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lecturekit.evidence import (
    cam,
    grad_cam,
    guided_grad_cam,
    integrated_gradients,
    saliency,
    smooth_grad,
)

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = pytest.mark.parametrize(
    "method", [cam, grad_cam, saliency, smooth_grad, integrated_gradients, guided_grad_cam]
)


def images(batch=2, size=32, seed=0) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def gap_network() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).eval()


class Wrapped(nn.Module):
    """A network whose features or answer go through a function."""

    def __init__(self, answer=None, head=None, body=None):
        super().__init__()
        self.net = gap_network()
        self.answer, self.head = answer, head
        self.body = body or self.net[:4]
        self.eval()

    def forward(self, x):
        y = self.head(self, self.body(x)) if self.head else self.net(x)
        return self.answer(y) if self.answer else y


def assert_same(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


# ---------------------------------------------------------------- 1: the last feature map has one position


def tiny(*head: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    body = [
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, 8, 1),
    ]
    return nn.Sequential(*body, nn.ReLU(), *head, nn.Linear(24, 5)).eval()


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        [nn.Flatten()],
        [nn.AdaptiveMaxPool2d(1), nn.Flatten()],
        [nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(24, 24), nn.ReLU()],
    ],
    ids=["average", "flatten", "maximum", "two layers"],
)
def test_a_last_stage_of_one_position_is_the_default_layer(head):
    network = tiny(*head)
    found = grad_cam(network, images(), 1)
    assert found.maps.shape == (2, 1, 1)
    assert_same(found.maps, grad_cam(network, images(), 1, layer="5").maps)
    assert grad_cam(network, images(size=64), 1).maps.shape == (2, 2, 2) if len(head) != 1 else True


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 32), ("mobilenet_v2", 32), ("densenet121", 32), ("inception_v3", 96), ("googlenet", 32)],
)
def test_small_pictures_in_torchvisions_networks(name, size):
    options = {"init_weights": False} if name in {"inception_v3", "googlenet"} else {}
    network = getattr(torchvision.models, name)(num_classes=6, **options).eval()
    found = grad_cam(network, images(size=size), 1)
    assert found.maps.shape == (2, 1, 1)
    assert_same(found.maps, cam(network, images(size=size), 1).maps)


@pytest.mark.parametrize("name", ["resnet18d", "seresnet50", "mobilenetv3_small_050"])
def test_small_pictures_in_timms_networks(name):
    network = timm.create_model(name, num_classes=6).eval()
    assert grad_cam(network, images(), 1).maps.shape == (2, 1, 1)


def test_a_pool_after_the_pool_is_no_map():
    """The pooled features of a head of two layers have one position, and are no map, at any size."""

    def two_layers(net, f):
        pooled = F.adaptive_avg_pool2d(f, 1)
        return net.net[6](F.conv2d(pooled, torch.eye(4)[:, :, None, None]).tanh().mean((2, 3)))

    network = Wrapped(head=two_layers)
    with pytest.raises(ValueError, match="not the average"):
        cam(network, images(), 1)
    assert grad_cam(network, images(), 1).maps.shape == (2, 30, 30)


# ---------------------------------------------------------------- 2: channels last, tokens


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "convnext_tiny",
            [f"features.7.2.block.{k}" for k in range(7)] + ["features.7.2", "features.5", "features.6"],
        ),
        (
            "swin_t",
            ["features.3", "features.3.0", "features.3.0.norm1", "features.3.1.attn", "features.3.1.mlp.0"],
        ),
    ],
    ids=["convnext", "swin"],
)
def test_channels_last_layers_are_told_by_what_follows(name, layers):
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(num_classes=6).eval()
    for layer in layers:
        kept = []
        module = network.get_submodule(layer)
        hook = module.register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output))
        (score,) = network(images(1, 64))[:, 1]
        hook.remove()
        last = kept[0].shape[1] == kept[0].shape[2]
        (gradient,) = torch.autograd.grad(score, kept[0])
        f, g = (x.permute(0, 3, 1, 2) if last else x for x in (kept[0].detach(), gradient))
        wanted = (g.mean((2, 3), keepdim=True) * f).sum(1)
        assert_same(grad_cam(network, images(1, 64), 1, layer=layer).maps, wanted)


def test_mambaout_and_square_maps_with_as_many_channels():
    network = timm.create_model("mambaout_femto", num_classes=6).eval()
    for layer in ("stages.1.blocks.0", "stages.3.blocks.1", "stages.1.blocks.0.norm", "stages.0"):
        assert grad_cam(network, images(1, 96), 1, layer=layer).maps.shape[1:] in {(24, 24), (12, 12), (3, 3)}
    square = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(512, 5)).eval()
    for layer in ("0", "1"):
        f = square[0](images(1, 12)).detach()
        assert_same(
            grad_cam(square, images(1, 12), lambda y: y.sum(1), layer=layer, weights="elementwise").maps,
            (square[3].weight.sum(0).reshape(8, 8, 8) * (f > 0) * f).sum(1).detach(),
        )


def vit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=2, num_classes=5).eval()


def test_tokens_with_reshape():
    network = vit()
    kept = []
    hook = network.blocks[1].norm1.register_forward_hook(lambda _m, _i, output: kept.append(output))
    (gradient,) = torch.autograd.grad(network(images(1, 64))[0, 2], kept[0])
    hook.remove()
    f, g = (x[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2) for x in (kept[0].detach(), gradient))
    found = grad_cam(
        network,
        images(1, 64),
        2,
        layer="blocks.1.norm1",
        reshape=lambda x: x[:, 1:].unflatten(1, (4, 4)).permute(0, 3, 1, 2),
    )
    assert_same(found.maps, (g.mean((2, 3), keepdim=True) * f).sum(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "blocks.0"}, "reshape="),
        ({"layer": "blocks.0.attn.qkv"}, "reshape="),
        ({"layer": "blocks.0", "reshape": lambda x: x}, r"reshape must return .* \(1, 17, 192\)"),
        ({"layer": "blocks.0", "reshape": lambda x: None}, "reshape must return"),
        ({"reshape": lambda x: x}, "reshape needs a layer"),
    ],
    ids=range(5),
)
def test_tokens_without_a_way_to_maps(options, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(vit(), images(1, 64), 2, **options)


def test_attention_is_no_feature_map():
    network = vit()
    for block in network.blocks:
        block.attn.fused_attn = False
    with pytest.raises(ValueError, match="neither"):
        grad_cam(network, images(1, 64), 2, layer="blocks.0.attn.attn_drop")


# ---------------------------------------------------------------- 3: baked-in training


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def in_training(network: nn.Module, how: str) -> nn.Module:
    network.train()
    if how == "fx":
        return torch.fx.symbolic_trace(nn.Sequential(network, _FunctionalDropout().train()))
    exported = torch.export.export(network, (images(),))
    return exported.module() if how == "module" else torch.export.unflatten(exported)


class _FunctionalDropout(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5, self.training)


@ALL
@pytest.mark.parametrize("how", ["module", "unflatten", "fx"])
def test_exported_in_training_is_refused(method, how):
    network = in_training(gap_network(), how)
    before = state(network)
    with pytest.raises(ValueError, match=r"train mode.*eval\(\)"):
        method(network, images(), 1)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


@ALL
def test_exported_in_eval_mode_is_like_the_network(method):
    exported = torch.export.export(gap_network(), (images(),)).module()
    options = {} if method is not guided_grad_cam else {"layer": None}
    assert_same(method(exported, images(), 1, **options).maps, method(gap_network(), images(), 1).maps)


@pytest.mark.filterwarnings("ignore")
def test_traced_in_training_is_refused_and_put_right():
    traced = torch.jit.trace(nn.Sequential(nn.BatchNorm2d(3)).train(), images())
    network = nn.Sequential(traced, gap_network()).eval()
    before = state(network)
    with pytest.raises(ValueError, match="traced in train mode"):
        grad_cam(network, images(), 1)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


class _Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 2, 3))
        return x


@ALL
def test_buffers_that_count_in_eval_mode_are_put_back(method):
    network = nn.Sequential(_Counts(), gap_network()).eval()
    method(network, images(), 1)
    assert network[0].calls == 0
    assert network[0].mean.equal(torch.zeros(3))


# ---------------------------------------------------------------- 4: outputs of any kind


class ModelOutput(OrderedDict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple = ()


@dataclass(frozen=True, slots=True)
class Frozen:
    logits: Tensor


@pytest.mark.parametrize(
    "wrap",
    [lambda y: ModelOutput(loss=None, logits=y), Answer, Frozen, lambda y: SimpleNamespace(logits=y)],
    ids=["ordered", "dataclass", "frozen", "namespace"],
)
@pytest.mark.parametrize("classes", [3, lambda output: output.logits[:, 3]], ids=["class", "function"])
def test_outputs_that_are_no_plain_tensor(wrap, classes):
    found = grad_cam(Wrapped(wrap), images(), classes)
    assert_same(found.maps, grad_cam(gap_network(), images(), 3).maps)


@pytest.mark.parametrize(
    ("wrap", "score"),
    [
        (lambda y: (y, 3), lambda o: o[0][:, 3]),
        (lambda y: [y, None], lambda o: o[0][:, 3]),
        (lambda y: {"a": [Answer(y)]}, lambda o: o["a"][0].logits[:, 3]),
        (lambda y: y.max(1), lambda o: o.values),
    ],
    ids=["tuple", "list", "nested", "max"],
)
def test_scores_out_of_containers(wrap, score):
    found = grad_cam(Wrapped(wrap), images(), score)
    assert_same(found.maps, grad_cam(Wrapped(wrap), images(), score, layer="net.3").maps)


def test_earlier_features_in_the_output():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = gap_network()

        def forward(self, x):
            early = self.net[0](x)
            return Answer(self.net[1:](early), (early,))

    found = grad_cam(Network(), images(), lambda o: o.logits[:, 3])
    assert_same(found.maps, grad_cam(gap_network(), images(), 3).maps)
    with pytest.raises(ValueError, match="layer must be named"):  # how they depend on the map is not known
        grad_cam(Network(), images(), lambda o: o.logits[:, 3] + o.hidden[0].mean((1, 2, 3)))


# ---------------------------------------------------------------- 5: threads


def test_threads_on_one_network():
    network = gap_network()
    wanted = {m: m(network, images(), 1).maps for m in (cam, grad_cam, saliency)}
    inner = grad_cam(network, images(), 1, layer="0").maps
    wrong = []

    def ask(call, maps):
        for _ in range(25):
            try:
                if not torch.equal(call(), maps):
                    wrong.append("map")
            except Exception as error:
                wrong.append(error)

    plain = network(images()).detach()
    jobs = [(lambda m=m: m(network, images(), 1).maps, wanted[m]) for m in wanted]
    jobs += [(lambda: grad_cam(network, images(), 1, layer="0").maps, inner)]
    jobs += [(lambda: network(images()).detach(), plain)] * 2
    threads = [threading.Thread(target=ask, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


# ---------------------------------------------------------------- 6: NaN


@ALL
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("layer", [0, 6])
def test_weights_that_are_no_numbers(method, value, layer):
    network = gap_network()
    network[layer].weight.data[1] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        method(network, images(), 1)


@pytest.mark.parametrize("method", [grad_cam, saliency])
def test_scores_and_gradients_that_are_no_numbers(method):
    with pytest.raises(ValueError, match="NaN or infinite"):
        method(gap_network(), images(), lambda y: y[:, 1] / 0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        method(gap_network(), images(), lambda y: (y[:, 1] * 0).sqrt())


# ---------------------------------------------------------------- 7: weights made under inference_mode


@ALL
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_weights_made_under_inference_mode(method, mode):
    with torch.inference_mode():
        network = gap_network()
    tensors = [*network.parameters(), *network.buffers()]
    with mode():
        found = method(network, images(), 1)
    assert_same(found.maps, method(gap_network(), images(), 1).maps)
    assert all(a is b for a, b in zip([*network.parameters(), *network.buffers()], tensors, strict=True))


def test_inner_layers_of_such_weights():
    with torch.inference_mode():
        network = gap_network()
    wanted = grad_cam(gap_network(), images(), 1, layer="0").maps
    assert_same(grad_cam(network, images(), 1, layer="0").maps, wanted)
    assert_same(grad_cam(network, images(), 1, layer=network[0]).maps, wanted)


# ---------------------------------------------------------------- 8: names


def test_every_name_of_a_shared_module():
    relu = nn.ReLU()
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(), nn.Linear(3136, 5)
    )
    by_first, by_second = (grad_cam(network.eval(), images(), 1, layer=name).maps for name in ("1", "3"))
    assert by_first.shape == (2, 28, 28)
    assert by_first.equal(by_second)


@pytest.mark.parametrize("name", ["0", "module.0"])
def test_names_of_a_wrapper(name):
    wanted = grad_cam(gap_network(), images(), 1, layer="0").maps
    assert_same(grad_cam(nn.DataParallel(gap_network()), images(), 1, layer=name).maps, wanted)


# ---------------------------------------------------------------- 9: answers that are maps


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (lambda y: y, lambda o: o[:, 1].mean((1, 2))),
        (lambda y: {"out": F.interpolate(y, scale_factor=2)}, lambda o: o["out"][:, 1].mean((1, 2))),
        (lambda y: y.softmax(1), lambda o: o[:, 1, :5].mean((1, 2))),
        (lambda y: y.flatten(2), lambda o: o[:, 1].mean(1)),
        (lambda y: SimpleNamespace(out=y.exp()), lambda o: o.out[:, 1].mean((1, 2))),
    ],
    ids=["plain", "interpolated", "softmax", "flat", "namespace"],
)
def test_an_answer_that_is_a_map_needs_a_layer(answer, score):
    network = Wrapped(answer, head=lambda net, f: F.conv2d(f, net.net[6].weight[:, :, None, None]))
    with pytest.raises(ValueError, match=r"layer must be named.*map itself"):
        grad_cam(network, images(), score)
    assert grad_cam(network, images(), score, layer="body").maps.shape == (2, 30, 30)


def test_features_beside_the_logits_are_no_such_answer():
    network = Wrapped(head=lambda net, f: (net.net[4:](f), f))
    assert_same(
        grad_cam(network, images(), lambda o: o[0][:, 1]).maps, grad_cam(gap_network(), images(), 1).maps
    )


# ---------------------------------------------------------------- 10: the right reason


@ALL
@pytest.mark.filterwarnings("ignore")
def test_quantised_networks(method):
    network = torch.ao.quantization.quantize_dynamic(gap_network())
    with pytest.raises(ValueError, match="quantised"):
        method(network, images(), 1)


class Checkpointed(nn.Module):
    def __init__(self, parts: str, reentrant: bool):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
        self.b = nn.Sequential(nn.Conv2d(6, 8, 3), nn.ReLU())
        self.h = nn.Linear(8, 5)
        self.parts, self.reentrant = parts, reentrant
        self.eval()

    def run(self, name, part, x):
        return checkpoint(part, x, use_reentrant=self.reentrant) if name in self.parts else part(x)

    def forward(self, x):
        for name, part in (("a", self.a), ("b", self.b), ("p", lambda y: y.mean((2, 3))), ("h", self.h)):
            x = self.run(name, part, x)
        return x


CALLS = [(cam, {}), (grad_cam, {}), (grad_cam, {"layer": "a"}), (grad_cam, {"layer": "b.0"}), (saliency, {})]


@pytest.mark.parametrize(("method", "options"), [*CALLS, (saliency, {"guided": True})])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("parts", ["a", "b", "p", "h", "abph"])
def test_checkpoints_give_the_map_or_the_reason(method, options, reentrant, parts):
    wanted = method(Checkpointed("", False), images(), 1, **options).maps
    try:
        found = method(Checkpointed(parts, reentrant), images(), 1, **options).maps
    except ValueError as error:
        assert reentrant or options.get("guided")
        assert "checkpoint" in str(error)  # noqa: PT017
        assert (method, options) not in CALLS[:2], "nothing before the head needs a gradient"
    else:
        assert_same(found, wanted)


def test_a_backbone_without_a_graph():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = gap_network()

        def forward(self, x):
            with torch.no_grad():
                features = self.net[:4](x)
            return self.net[4:](features)

    network = Network().eval()
    assert_same(grad_cam(network, images(), 1).maps, grad_cam(gap_network(), images(), 1).maps)
    for call in (
        lambda: grad_cam(network, images(), 1, layer="net.0"),
        lambda: saliency(network, images(), 1),
    ):
        with pytest.raises(ValueError, match="no_grad"):
            call()


@pytest.mark.parametrize(
    "head",
    [
        lambda net, f: net.net[6](f.mean((2, 3)) + f.amax((2, 3))),
        lambda net, f: net.net[6]((F.adaptive_max_pool2d(f, 1) + F.adaptive_avg_pool2d(f, 1)).flatten(1)),
        lambda net, f: net.net[6](F.lp_pool2d(f, 2, f.shape[2:]).flatten(1)),
        lambda net, f: net.net[6](torch.einsum("bchw->bc", f)),
        lambda net, f: net.net[6](f.flatten(2).logsumexp(-1)),
    ],
    ids=["both", "modules", "norm", "einsum", "log-sum-exp"],
)
def test_other_pools(head):
    network = Wrapped(head=head)
    assert_same(grad_cam(network, images(), 1).maps, grad_cam(network, images(), 1, layer="body").maps)
    with pytest.raises(ValueError, match="not the average of a feature map"):
        cam(network, images(), 1)


def test_an_activation_in_place_before_two_branches():
    def head(net, f):
        f = f - 0.5
        f.mul_(2).tanh_()
        return net.net[6](f.mean((2, 3)) + f.amax((2, 3)))

    def out_of_place(net, f):
        f = net.spare((2 * (f - 0.5)).tanh())
        return net.net[6](f.mean((2, 3)) + f.amax((2, 3)))

    other = Wrapped(head=out_of_place)
    other.spare = nn.Identity()
    wanted = grad_cam(other, images(), 1)
    assert_same(grad_cam(Wrapped(head=head), images(), 1).maps, wanted.maps)


# ---------------------------------------------------------------- 11: every way to write a ReLU


@pytest.mark.parametrize(
    "relu",
    [
        lambda x: torch.relu(input=x),
        lambda x: F.relu(input=x),
        lambda x: F.relu(x, True),
        lambda x: F.relu(input=x, inplace=True),
        torch.relu_,
        lambda x: x.relu(),
        lambda x: x.relu_(),
        lambda x: x.clamp(min=0),
        lambda x: torch.clamp(x, 0),
        lambda x: x.clamp_min(0),
        lambda x: F.threshold(x, 0.0, 0.0),
        lambda x: F.hardtanh(x, 0.0, 1e9, True),
    ],
    ids=range(12),
)
def test_guided_meets_every_relu(relu):
    def network(function):
        return Wrapped(
            body=nn.Sequential(copy.deepcopy(gap_network()[0])), head=lambda n, f: n.net[4:](function(f))
        )

    wanted = saliency(network(torch.relu), images(), 1, guided=True).maps
    assert saliency(network(relu), images(), 1, guided=True).maps.equal(wanted)
    assert not wanted.equal(saliency(network(torch.relu), images(), 1).maps)
