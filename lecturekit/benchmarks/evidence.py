"""What a map costs: ours beside captum, torchcam and pytorch-grad-cam, in one run, on the same inputs."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import evidence, kit
from ..evidence import cam, grad_cam
from ..evidence.maps import normalise, rectify, upsample
from ..kit import markdown
from ..kit.cache import source_key
from ..kit.devices import available
from ..kit.parallel import one_thread
from ..models import load_classifier
from ._results import forget_parts, part, save

SIZE = 224

#: One way to make maps: model, layer, images, classes -> maps (B, h, w) of any scale.
Method = Callable[[nn.Module, nn.Module, Tensor, Tensor], Tensor]
ALONE = "forward pass alone"


@dataclass
class Case:
    """A network, the layer whose output its pool takes, and a layer further in."""

    name: str
    make: Callable[[], nn.Module]
    default: str
    inner: str


def _torchvision(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        return torchvision.models.get_model(name)

    return make


CASES = (
    Case("EfficientNet-Lite0", lambda: load_classifier(device="cpu"), "network.bn2", "network.blocks.4"),
    Case("ResNet-50", _torchvision("resnet50"), "layer4", "layer2"),
    Case("ConvNeXt-Tiny", _torchvision("convnext_tiny"), "features", "features.3"),
    Case("MobileNet-V3-Large", _torchvision("mobilenet_v3_large"), "features", "features.6"),
)


def run(rounds: int = 15, batches: tuple[int, ...] = (1, 16), quick: bool = False) -> str:
    """Measure on every device found and return the table as Markdown; ``docs/results/evidence.json`` has all.

    All methods have one thread. On a CPU it is processor time, which other programs on the machine change
    less than time on the wall. Each round runs every method once, in turn, so that a machine that slows down
    slows all of them. Ratios are medians over rounds of the method's time to that of the forward pass alone
    (``no_grad``) of its round. All networks but the first have random weights, which changes no time.

    A run that is stopped goes on with the next network or layer; one that ends forgets its parts. About 20
    minutes and 6 GB.

    Args:
        rounds: how often each method is timed.
        batches: how many images at once.
        quick: only the first of the batches, for a look: the file stays as it is.
    """
    one_thread()
    code = source_key(*evidence.__path__, *kit.__path__)
    parts = [
        (case, layer, device, batch)
        for device in available()
        for batch in batches[: 1 if quick else None]
        for case in CASES
        for layer in (case.default, case.inner)
    ]
    rows: list[dict[str, Any]] = []
    for case, layer, device, batch in tqdm(parts, desc="networks and layers"):
        about = [case.name, layer, str(device), batch, rounds, SIZE, code, [*_methods(case, layer)]]
        make = partial(_measure, case, layer, device, batch, rounds)
        rows += part("evidence", about, make)
    clock = "processor time on a CPU, wall time elsewhere"
    if not quick:
        save("evidence", rows, {"rounds": rounds, "size": SIZE, "batches": batches, "clock": clock})
    forget_parts("evidence")
    return _table(rows, rounds)


def _measure(
    case: Case, layer: str, device: torch.device, batch: int, rounds: int
) -> Iterator[dict[str, Any]]:
    """One record a method: ratio to the forward pass, bytes kept for backward, distance to full autograd."""
    torch.manual_seed(0)
    model = case.make().eval().to(device)
    module = model.get_submodule(layer)
    images = torch.randn(batch, 3, SIZE, SIZE).to(device)
    with torch.no_grad():
        classes = model(images).argmax(1)
    methods = _methods(case, layer)
    truth = _full_autograd(model, module, images, classes)
    kept: dict[str, int] = {}
    distances: dict[str, float] = {}
    for name, method in methods.items():  # also the warm-up
        with _counting(model) as storages:
            maps = method(model, module, images, classes)
        kept[name] = sum(storages.values())
        distances[name] = float("nan") if name == ALONE else _distance(maps, truth, SIZE)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in tqdm(range(rounds), desc=f"{case.name} {layer}, {device}, batch {batch}", leave=False):
        for name, method in methods.items():
            seconds[name].append(_timed(method, model, module, images, classes))
    for name, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds[ALONE], strict=True))
        yield {
            "network": case.name,
            "layer": layer,
            "method": name,
            "batch": batch,
            "device": str(device),
            "ratio": ratio,
            "kept_bytes": kept[name],
            "distance": distances[name],
        }


def _methods(case: Case, layer: str) -> dict[str, Method]:
    """Ours, the default layer found by itself and others by name, and the libraries that are installed."""
    ours: dict[str, Method] = {ALONE: _forward}
    if layer != case.default:
        ours["lecturekit grad_cam"] = lambda m, _l, x, k: grad_cam(m, x, k, layer=layer).maps
    else:
        ours["lecturekit grad_cam"] = lambda m, _l, x, k: grad_cam(m, x, k).maps
        if case.name in ("EfficientNet-Lite0", "ResNet-50"):  # the others' heads have more than one layer
            ours["lecturekit cam"] = lambda m, _l, x, k: cam(m, x, k).maps
    return ours | _others()


def _timed(method: Method, model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> float:
    wait = getattr(torch, images.device.type).synchronize
    wait()
    clock = time.process_time if images.device.type == "cpu" else time.perf_counter
    start = clock()
    method(model, layer, images, classes)
    wait()
    return clock() - start


def _forward(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)


def _others() -> dict[str, Method]:
    """The libraries that are installed; they are needed for nothing else."""
    found: dict[str, Method] = {}
    for package, method in (("captum", _captum), ("torchcam", _torchcam), ("grad-cam", _pytorch_grad_cam)):
        try:
            found[f"{package} {metadata.version(package)} Grad-CAM"] = method
        except metadata.PackageNotFoundError:
            print(f"{package} is not installed and is left out")
    return found


def _captum(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    from captum.attr import LayerGradCam

    return LayerGradCam(model, layer).attribute(images, target=classes)[:, 0].detach()


def _torchcam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    from torchcam.methods import GradCAM

    with GradCAM(model, layer) as extractor:
        scores = model(images)
        return extractor(classes.tolist(), scores, normalized=False)[0].detach()


def _pytorch_grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=model, target_layers=[layer]) as extractor:
        targets = [ClassifierOutputTarget(k) for k in classes.tolist()]
        return torch.from_numpy(extractor(input_tensor=images, targets=targets)).to(images.device)


def _full_autograd(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM with the graph of the whole network: the reference."""
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = model(images)
    hook.remove()
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), kept[0])
    return (gradient.mean((2, 3), keepdim=True) * kept[0].detach()).sum(1)


def _distance(maps: Tensor, truth: Tensor, size: int) -> float:
    """Largest difference after both are rectified, brought to the images' size and to 0..1.

    That is the form in which pytorch-grad-cam returns its maps; ours and the others' are brought to it here.
    """

    def unit(m: Tensor) -> Tensor:
        return normalise(upsample(rectify(m.float()), size), "minmax")

    return (unit(maps) - unit(truth)).abs().max().item()


@contextmanager
def _counting(model: nn.Module) -> Generator[dict[int, int]]:
    """Bytes that autograd keeps, by storage, of tensors that are not the model's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _table(rows: list[dict[str, Any]], rounds: int) -> str:
    """One line a network, layer, device and batch, one column a method."""
    names = list(dict.fromkeys(row["method"] for row in rows if row["method"] != ALONE))
    groups: dict[tuple, dict[str, dict[str, Any]]] = {}
    for row in rows:
        place = (row["device"], row["batch"], row["network"], f"`{row['layer']}`")
        groups.setdefault(place, {})[row["method"]] = row
    distances = [row["distance"] for row in rows if row["method"].startswith("lecturekit")]
    intro = (
        f"Machine: {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{rounds} interleaved rounds, {SIZE} px. Time over that of the forward pass alone; *kept* for the "
        f"way back by grad_cam, and by the others at most. Largest distance of our maps, scaled to 0..1, to "
        f"those of full autograd: {max(distances):.1e}."
    )
    cells = []
    for place, found in groups.items():
        ratios = [f"{found[name]['ratio']:.2f}" if name in found else "" for name in names]
        others = [row["kept_bytes"] for name, row in found.items() if not name.startswith("lecturekit")]
        sizes = (found["lecturekit grad_cam"]["kept_bytes"], max(others))
        cells.append([*place, *ratios, " / ".join(f"{size / 2**20:.2f} MiB" for size in sizes)])
    head = ["device", "batch", "network", "layer", *names, "kept: ours / others"]
    return f"{intro}\n\n{markdown.table(head, cells)}"
