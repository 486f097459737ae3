"""What a map costs: ours beside captum, torchcam and pytorch-grad-cam, in one run, on the same inputs."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..evidence import cam, grad_cam
from ..evidence.maps import normalise, rectify, upsample
from ..kit import markdown
from ..kit.devices import available
from ..models import load_classifier
from ._results import save

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


@dataclass
class Row:
    """One method on one network: seconds of each round, bytes kept for backward, distance to autograd."""

    network: str
    layer: str
    name: str
    batch: int
    device: str
    seconds: list[float] = field(default_factory=list)
    kept: int = 0
    error: float = float("nan")


def run(rounds: int = 15, batches: tuple[int, ...] = (1, 16)) -> str:
    """Measure on every device found and return the table as Markdown; ``docs/results/evidence.json`` has all.

    On a CPU it is processor time, which other programs on the machine hardly change.
    Each round runs every method once, in turn, so that a machine that slows down slows all of them. Ratios
    are medians over rounds of the method's time to that of the forward pass alone (``no_grad``) of its round.
    All networks but the first have random weights, which changes no time.
    """
    rows = [
        row
        for device in available()
        for batch in batches
        for case in CASES
        for layer in (case.default, case.inner)
        for row in _measure(case, layer, device, batch, rounds)
    ]
    ratios = _ratios(rows)
    records = [
        {"network": r.network, "layer": r.layer, "method": r.name, "batch": r.batch, "device": r.device}
        | {"ratio": ratio, "kept_bytes": r.kept, "distance": r.error}
        for r, ratio in zip(rows, ratios, strict=True)
    ]
    clock = "processor time on a CPU, wall time elsewhere"
    save("evidence", records, {"rounds": rounds, "size": SIZE, "batches": batches, "clock": clock})
    return _table(rows, ratios, rounds)


def _measure(case: Case, layer: str, device: torch.device, batch: int, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    model = case.make().eval().to(device)
    module = model.get_submodule(layer)
    images = torch.randn(batch, 3, SIZE, SIZE).to(device)
    with torch.no_grad():
        classes = model(images).argmax(1)
    methods = _methods(case, layer)
    truth = _full_autograd(model, module, images, classes)
    rows = [Row(case.name, layer, name, batch, str(device)) for name in methods]
    for row in rows:  # also the warm-up
        with _counting(model) as kept:
            maps = methods[row.name](model, module, images, classes)
        row.kept = sum(kept.values())
        if row.name != ALONE:
            row.error = _distance(maps, truth, SIZE)
    for _ in tqdm(range(rounds), desc=f"{case.name} {layer}, {device}, batch {batch}", leave=False):
        for row in rows:
            row.seconds.append(_timed(methods[row.name], model, module, images, classes))
    return rows


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


def _ratios(rows: list[Row]) -> list[float]:
    """Median ratio of each row's time to that of the forward pass of its round; the pass leads its rows."""
    ratios: list[float] = []
    alone: list[float] = []
    for row in rows:
        alone = row.seconds if row.name == ALONE else alone
        ratios.append(statistics.median(a / b for a, b in zip(row.seconds, alone, strict=True)))
    return ratios


def _table(rows: list[Row], ratios: list[float], rounds: int) -> str:
    lines = [
        f"Machine: {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{rounds} interleaved rounds, {SIZE} px.",
        "",
    ]
    head = ("device", "batch", "network", "layer", "method", "time / forward", "kept", "to full autograd")
    cells = []
    for row, ratio in zip(rows, ratios, strict=True):
        error = "" if row.error != row.error else f"{row.error:.1e}"
        about = (row.device, row.batch, row.network, row.layer, row.name)
        cells.append([*about, f"{ratio:.2f}", f"{row.kept / 2**20:.2f} MiB", error])
    return "\n".join([*lines, markdown.table(head, cells)])
