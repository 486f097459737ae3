import copy

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lecturekit.datasets.photos import photo
from lecturekit.evidence.pooling import (
    FullyConvolutional,
    classify_then_pool,
    fully_convolutional,
    head_cost,
    linear_as_conv,
    pool_then_classify,
)
from lecturekit.models import load_classifier

small = st.integers(1, 4)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def close(a, b):
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)


# --- linear_as_conv ---------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(small, small, small, small, small, small, st.booleans())
def test_convolution_gives_the_linear_layers_answer_in_every_window(c, m, n, k, rows, columns, bias):
    linear = nn.Linear(c * m * n, k, bias=bias)
    features = random(2, c, m + rows - 1, n + columns - 1)
    slid = linear_as_conv(linear, (c, m, n))(features)
    assert slid.shape == (2, k, rows, columns)
    for y in range(rows):
        for x in range(columns):
            window = features[:, :, y : y + m, x : x + n].flatten(1)
            assert close(slid[:, :, y, x], linear(window))


def test_convolution_shares_memory_dtype_and_what_is_frozen():
    linear = nn.Linear(12, 3, dtype=torch.float64).requires_grad_(False)
    convolution = linear_as_conv(linear, torch.Size((3, 2, 2)))
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.kernel_size == (2, 2)
    assert convolution.weight.dtype == torch.float64
    assert not convolution.weight.requires_grad
    linear.weight[1, 5] = 7  # channel 1, row 0, column 1
    linear.bias[2] = -3
    assert convolution.weight[1, 1, 0, 1] == 7
    assert convolution.bias[2] == -3


@pytest.mark.parametrize("shape", [(3, 2), (3, 2, 3), (3, 2, 0), (3, 2, 2.0), (-3, -2, 2), (1, 3, 2, 2)])
def test_feature_shape_must_fit(shape):
    with pytest.raises(ValueError, match="feature_shape"):
        linear_as_conv(nn.Linear(12, 3), shape)


def test_only_linear_layers_become_convolutions():
    with pytest.raises(TypeError, match=r"linear must be an nn\.Linear, got Conv2d"):
        linear_as_conv(nn.Conv2d(3, 4, 1), (3, 1, 1))


# --- the two orders ---------------------------------------------------------------------------------------


def by_loops(features, classifier, order, pool):
    """Both orders, one position and one channel at a time."""
    batch, channels, height, width = features.shape
    reduce = {"mean": lambda v: sum(v) / len(v), "max": max}[pool]
    places = [(y, x) for y in range(height) for x in range(width)]
    rows = []
    for b in range(batch):
        if order == "pool first":
            vector = [reduce([features[b, c, y, x] for y, x in places]) for c in range(channels)]
            rows.append(classifier(torch.stack(vector)))
        else:
            answers = [classifier(features[b, :, y, x]) for y, x in places]
            rows.append(torch.stack([reduce([a[k] for a in answers]) for k in range(len(answers[0]))]))
    return torch.stack(rows)


@settings(max_examples=25, deadline=None)
@given(small, small, small, small, st.sampled_from(["mean", "max"]), st.integers(0, 99))
def test_orders_are_what_loops_say_and_the_mean_commutes(c, h, w, k, pool, seed):
    features = random(2, c, h, w, seed=seed)
    linear = nn.Linear(c, k)
    first, last = (f(features, linear, pool) for f in (pool_then_classify, classify_then_pool))
    assert first.shape == last.shape == (2, k)
    assert close(first, by_loops(features, linear, "pool first", pool))
    assert close(last, by_loops(features, linear, "pool last", pool))
    if pool == "mean":
        assert close(first, last)


def test_where_the_order_matters():
    features = random(4, 8, 5, 5)
    two_layers = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3))
    relu_between = nn.Sequential(two_layers[0], nn.ReLU(), two_layers[1])

    def gap(classifier, pool="mean"):
        orders = (f(features, classifier, pool) for f in (pool_then_classify, classify_then_pool))
        return torch.sub(*orders).abs().max()

    assert gap(two_layers) < 1e-6
    assert gap(relu_between) > 0.01
    assert gap(two_layers, "max") > 0.01


def test_orders_refuse_what_they_cannot_take():
    linear = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"features must be a tensor \(B, C, h, w\), got shape \(3, 4, 4\)"):
        pool_then_classify(random(3, 4, 4), linear)
    with pytest.raises(ValueError, match="pool must be one of 'mean', 'max', got 'sum'"):
        classify_then_pool(random(1, 3, 4, 4), linear, "sum")


# --- costs ------------------------------------------------------------------------------------------------


class Recorder(torch.overrides.TorchFunctionMode):
    """Counts the numbers that poolings, linear layers and convolutions put out."""

    counted = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in (torch.Tensor.mean, F.linear, F.conv2d):
            self.counted += result.numel()
        return result


@pytest.mark.parametrize("shape", [(5, 3, 4), (8, 1, 1), (2, 7, 7)])
@pytest.mark.parametrize("order", ["pool_then_classify", "classify_then_pool", "flatten"])
def test_costs_are_what_is_counted(shape, order):
    features, classes = random(1, *shape), 6
    linear = nn.Linear(features[0].numel() if order == "flatten" else shape[0], classes)
    heads = {
        "pool_then_classify": lambda: pool_then_classify(features, linear),
        "classify_then_pool": lambda: classify_then_pool(features, linear),
        "flatten": lambda: linear(features.flatten(1)),
    }
    with FlopCounterMode(display=False) as flops, Recorder() as recorder:
        heads[order]()
    cost = head_cost(shape, classes, order)
    assert flops.get_total_flops() == 2 * cost.multiply_adds  # a multiplication and an addition each
    assert cost.parameters == sum(p.numel() for p in linear.parameters())
    assert cost.activations == recorder.counted


def test_costs_refuse_nonsense():
    with pytest.raises(ValueError, match="order must be one of"):
        head_cost((3, 4, 4), 2, "sideways")
    with pytest.raises(ValueError, match="classes must be a whole number of at least 1, got 0"):
        head_cost((3, 4, 4), 0, "flatten")
    with pytest.raises(ValueError, match="feature_shape"):
        head_cost((3, 4), 2, "flatten")


# --- fully_convolutional: small networks of every kind ----------------------------------------------------


def trunk(channels=3):
    return nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)


class Functional(nn.Module):
    """A head written without modules."""

    def __init__(self, pool):
        super().__init__()
        self.trunk, self.linear, self.pool = nn.Sequential(*trunk()), nn.Linear(4, 5), pool

    def forward(self, x):
        return self.linear(self.pool(self.trunk(x)))


class SqueezeAndExcite(nn.Module):
    """A global average in the middle of the network, which is none of the head's."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4, 4), nn.Linear(4, 5)

    def forward(self, x):
        x = self.conv(x)
        x = x * self.gate(x.mean((2, 3))).sigmoid()[:, :, None, None]
        return self.linear(F.adaptive_avg_pool2d(x.relu(), 1).flatten(1))


def gap(*layers):
    return nn.Sequential(*trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


def flat(*layers):
    return nn.Sequential(*trunk(), nn.Flatten(), *layers)


#: network, training size, shape of the class maps for images 3 rows and 2 columns larger than that
NETWORKS = {
    "gap": (gap(nn.Linear(4, 5)), (8, 6), (11, 8)),
    "gap, no bias, dropout": (gap(nn.Dropout(0.5), nn.Linear(4, 5, bias=False)), (8, 6), (11, 8)),
    "gap, two linear layers": (gap(nn.Linear(4, 7), nn.Linear(7, 5)), (8, 6), (11, 8)),
    "gap, nothing after it": (gap(), (8, 6), (11, 8)),
    "gap, relu between": (gap(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5)), (8, 6), (4, 3)),
    "gap, norms": (gap(nn.LayerNorm(4), nn.BatchNorm1d(4), nn.Linear(4, 5)), (8, 6), (4, 3)),
    "gap, softmax": (gap(nn.Linear(4, 5), nn.Softmax(1)), (8, 6), (4, 3)),
    "1 x 1 convolution": (
        nn.Sequential(*trunk(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1), nn.Flatten()),
        (8, 6),
        (11, 8),
    ),
    "mean": (Functional(lambda x: x.mean((2, 3))), (8, 6), (11, 8)),
    "torch.mean, kept": (Functional(lambda x: torch.mean(x, (2, 3), True)[:, :, 0, 0]), (8, 6), (11, 8)),
    "avg_pool2d": (Functional(lambda x: F.avg_pool2d(x, (8, 6)).view(len(x), -1)), (8, 6), (11, 8)),
    "squeeze and excite": (SqueezeAndExcite(), (8, 8), (9, 8)),
    "flatten": (flat(nn.Linear(4 * 48, 5)), (8, 6), (4, 3)),
    "flatten, three layers": (
        flat(nn.Dropout(), nn.Linear(4 * 48, 7), nn.ReLU(True), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 5)),
        (8, 6),
        (4, 3),
    ),
    "idle pool": (
        nn.Sequential(*trunk(), nn.AdaptiveAvgPool2d((8, 6)), nn.Flatten(), nn.Linear(4 * 48, 5)),
        (8, 6),
        (4, 3),
    ),
    "convolution over all": (
        nn.Sequential(*trunk(), nn.Conv2d(4, 7, (8, 6)), *gap(nn.Linear(7, 5))[2:]),
        (8, 6),
        (4, 3),
    ),
}  # fmt: skip


def trained(network):
    """The network with batch norms that are not the identity, in training mode."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return network.train()


def answer(network, images):
    with torch.no_grad():
        return copy.deepcopy(network).eval()(images)


@pytest.mark.parametrize("name", NETWORKS)
def test_dense_network_gives_the_same_answer_and_grows(name):
    network, (height, width), grown = NETWORKS[name]
    network = trained(network)
    dense = fully_convolutional(network, (height, width))
    images = random(2, 3, height, width, seed=1)
    with torch.no_grad():
        assert close(dense(images).mean((2, 3)), answer(network, images))
        larger = dense(random(2, 3, height + 3, width + 2))
    assert larger.shape[2:] == grown


@pytest.mark.parametrize("name", ["gap", "gap, two linear layers", "squeeze and excite", "mean"])
def test_mean_of_a_gap_networks_maps_is_its_answer_at_any_size(name):
    network = trained(NETWORKS[name][0])
    images = random(3, 3, 13, 17)
    with torch.no_grad():
        assert close(fully_convolutional(network)(images).mean((2, 3)), answer(network, images))


@pytest.mark.parametrize("name", ["flatten", "flatten, three layers", "gap, relu between", "gap, norms"])
def test_sliding_is_the_head_in_every_window_of_the_features(name):
    network, (m, n), _ = NETWORKS[name]
    dense = fully_convolutional(trained(network), (m, n))
    images = random(1, 3, m + 2, n + 1)
    body, head = network[:3], network[3:]
    with torch.no_grad():
        features = copy.deepcopy(body).eval()(images)
        assert close(dense.features(images), features)
        maps = dense(images)
        for y in range(3):
            for x in range(2):
                window = features[:, :, y : y + m, x : x + n]
                assert close(maps[:, :, y, x], answer(head, window))


def test_training_size_can_be_left_out_for_square_features():
    network = flat(nn.Linear(4 * 36, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    dense = fully_convolutional(network)
    images = random(2, 3, 6, 6)
    with torch.no_grad():
        assert close(dense(images).flatten(1), network(images))
    assert dense.head[0].kernel_size == (6, 6)
    with pytest.raises(ValueError, match="size must be given: 240 inputs"):
        fully_convolutional(flat(nn.Linear(240, 5)))


def test_grey_pictures_and_half_precision():
    network = (
        nn.Sequential(*trunk(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)).bfloat16().eval()
    )
    images = random(1, 1, 9, 9).bfloat16()
    maps = fully_convolutional(network, 9)(images)
    assert maps.dtype == torch.bfloat16
    assert torch.allclose(maps.mean((2, 3)), network(images), atol=0.02)


def state(network):
    """All that a call must leave alone."""
    tensors = {name: (id(t), t.clone()) for name, t in network.state_dict(keep_vars=True).items()}
    return tensors, [
        (name, id(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks))
        for name, m in network.named_modules()
    ]


def test_model_is_left_as_it_was_and_weights_are_shared():
    network = trained(flat(nn.Linear(4 * 48, 7), nn.ReLU(), nn.Linear(7, 5)))
    network[1].eval()
    tensors, modules = state(network)
    dense = fully_convolutional(network, (8, 6))
    assert not any(m.training for m in dense.modules())
    dense.train()
    dense.eval()
    images = random(1, 3, 8, 6)
    dense(images).sum().backward()
    after, modules_after = state(network)
    assert modules == modules_after
    assert all(after[n][0] == i and torch.equal(after[n][1], t) for n, (i, t) in tensors.items())
    assert network[0].weight.grad.abs().sum() > 0  # the trunk's parameters are the very same
    assert sum(p.numel() for p in dense.parameters()) == sum(p.numel() for p in network.parameters())
    with torch.no_grad():
        network[4].weight.mul_(-2)
        assert close(dense(images).flatten(1), answer(network, images))


def test_copy_moves_and_saves_like_any_module(tmp_path):
    network = gap(nn.LayerNorm(4), nn.BatchNorm1d(4), nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5)).eval()
    dense = fully_convolutional(network, 6)
    images = random(1, 3, 7, 7)
    with torch.no_grad():
        wanted = dense(images)
        assert torch.equal(copy.deepcopy(dense)(images), wanted)
        torch.save(dense, tmp_path / "dense.pt")
        assert torch.equal(torch.load(tmp_path / "dense.pt", weights_only=False)(images), wanted)
        double = copy.deepcopy(dense).double()
        assert close(double(images.double()).float(), wanted)


REFUSED = {
    "max pool": (Functional(lambda x: F.adaptive_max_pool2d(x, 1).flatten(1)), "adaptive_max_pool2d"),
    "pool at work": (
        nn.Sequential(*trunk(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)),
        "size must be the one at which the pool",
    ),
    "norm of the flattened": (flat(nn.BatchNorm1d(4 * 64), nn.Linear(4 * 64, 5)), "norm stands between"),
    "weights made in the pass": (
        gap(nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))),
        "computed anew in every pass",
    ),
    "maps, no answer": (nn.Sequential(*trunk(), nn.Conv2d(4, 5, 1)), "logits"),
    "two pools": (
        Functional(lambda x: x.mean((2, 3)) + x.amax((2, 3))),
        "must end in global average pooling or flattening",
    ),
    "half a pool": (Functional(lambda x: x.mean(2).mean(2)), "goes into mean"),
    "no convolution": (nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), "no convolution"),
    "too deep": (nn.Sequential(nn.Conv2d(3, 4, 9), nn.Flatten(), nn.Linear(4, 5)), "cannot be run on images"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_heads_are_refused_with_a_reason(name):
    network, reason = REFUSED[name]
    tensors, modules = state(network)
    with pytest.raises(ValueError, match=reason):
        fully_convolutional(network, 8)
    after, modules_after = state(network)
    assert modules == modules_after
    assert all(torch.equal(after[n][1], t) for n, (_, t) in tensors.items())


def test_bad_arguments():
    with pytest.raises(TypeError, match="model must be a torch module"):
        fully_convolutional(lambda x: x)
    for size in (0, -8, (8, 8, 8), 8.5, "8", True):
        with pytest.raises(ValueError, match="size must be"):
            fully_convolutional(gap(nn.Linear(4, 5)), size)
    dense = fully_convolutional(NETWORKS["flatten"][0], (8, 6))
    with pytest.raises(ValueError, match="large enough for 8 x 6 positions, images of 8 x 5"):
        dense(random(1, 3, 8, 5))


# --- fully_convolutional: real networks --------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return load_classifier(device="cpu")


def same_answer(dense, network, images):
    """Class maps, after a check that their mean is the network's answer to 1e-5 of its largest number."""
    with torch.no_grad():
        maps, logits = dense(images), network(images)
    assert (maps.mean((2, 3)) - logits).abs().max() <= 1e-5 * logits.abs().max()
    return maps


def test_classifier_of_the_course_on_photographs(model):
    dense = fully_convolutional(model)
    photos = [photo("coffee"), photo("chelsea")]
    assert same_answer(dense, model, model.preprocess(photos)).shape == (2, 1000, 7, 7)
    assert same_answer(dense, model, model.preprocess(photos, 256)).shape == (2, 1000, 8, 8)


#: what makes a network, and its positions at 224 pixels
REAL = {
    "resnet18": (torchvision.models.resnet18, 7),
    "squeezenet": (torchvision.models.squeezenet1_1, 13),
    "two layers after the pool": (torchvision.models.mobilenet_v3_small, 1),
    "norm after the pool": (lambda: timm.create_model("convnext_atto"), 1),
    "convolution as classifier": (lambda: timm.create_model("resnetv2_18"), 7),
}


@pytest.mark.parametrize("name", REAL)
def test_real_networks_keep_their_answer(name, model):
    torch.manual_seed(0)
    make, side = REAL[name]
    network = make().eval()
    maps = same_answer(fully_convolutional(network), network, model.preprocess(photo("coffee")))
    assert maps.shape == (1, 1000, side, side)


def test_vgg_becomes_convolutions_of_7_x_7_and_1_x_1(model):
    torch.manual_seed(0)
    network = torchvision.models.vgg11(init_weights=False).eval()
    dense = fully_convolutional(network)
    assert isinstance(dense, FullyConvolutional)
    layers = [layer for layer in dense.head if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in layers] == [(7, 7), (1, 1), (1, 1)]
    assert layers[0].weight.data_ptr() == network.classifier[0].weight.data_ptr()
    assert same_answer(dense, network, model.preprocess(photo("coffee"))).shape == (1, 1000, 1, 1)


def test_transformers_are_refused():
    with pytest.raises(ValueError, match="must end in global average pooling or flattening"):
        fully_convolutional(timm.create_model("vit_tiny_patch16_224", depth=2))
