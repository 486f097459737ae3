"""What a map costs: ours beside captum, torchcam and pytorch-grad-cam, in one run, on the same inputs."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..datasets.photos import PHOTOS, photo
from ..evidence import cam, grad_cam
from ..evidence.maps import normalise, rectify, upsample
from ..kit.devices import available
from ..models import load_classifier

#: One way to make maps: model, layer (the pool's input), images, classes -> maps (B, h, w) of any scale.
Method = Callable[[nn.Module, nn.Module, Tensor, Tensor], Tensor]


@dataclass
class Row:
    """One method at one batch size: seconds of each round, bytes kept for backward, distance to autograd."""

    name: str
    batch: int
    device: str
    seconds: list[float] = field(default_factory=list)
    kept: int = 0
    error: float = float("nan")


def run(rounds: int = 15, batches: tuple[int, ...] = (1, 16)) -> str:
    """Measure on every device found and return the table as Markdown.

    Each round runs every method once, in turn, so that a machine that slows down slows all of them. Ratios
    are medians over rounds of the method's time to that of the forward pass alone (``no_grad``) of its round.
    """
    ours = {"forward pass alone": _forward, "lecturekit cam": _cam, "lecturekit grad_cam": _grad_cam}
    methods = ours | _others()
    rows = [
        row for device in available() for batch in batches for row in _measure(methods, device, batch, rounds)
    ]
    return _table(rows, rounds)


def _measure(methods: dict[str, Method], device: torch.device, batch: int, rounds: int) -> list[Row]:
    model = load_classifier(device=device)
    layer = model.network.bn2  # its output, after the activation, is what the pool takes
    photos = [photo(name) for name in PHOTOS]
    images = model.preprocess([photos[k % len(photos)] for k in range(batch)])
    with torch.no_grad():
        classes = model(images).argmax(1)
    truth = _full_autograd(model, layer, images, classes)
    rows = [Row(name, batch, str(device)) for name in methods]
    for row in rows:  # also the warm-up
        with _counting(model) as kept:
            maps = methods[row.name](model, layer, images, classes)
        row.kept = sum(kept.values())
        if row.name != "forward pass alone":
            row.error = _distance(maps, truth, images.shape[-1])
    for _ in tqdm(range(rounds), desc=f"{device}, batch {batch}", leave=False):
        for row in rows:
            row.seconds.append(_timed(methods[row.name], model, layer, images, classes))
    return rows


def _timed(method: Method, model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> float:
    wait = getattr(torch, images.device.type).synchronize
    wait()
    start = time.perf_counter()
    method(model, layer, images, classes)
    wait()
    return time.perf_counter() - start


def _forward(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images)


def _cam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    return cam(model, images, classes).maps


def _grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    return grad_cam(model, images, classes).maps


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
def _counting(model: nn.Module) -> Iterator[dict[int, int]]:
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


def _table(rows: list[Row], rounds: int) -> str:
    lines = [
        f"Machine: {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"{rounds} interleaved rounds; network EfficientNet-Lite0, 224 px.",
        "",
        "| device | batch | method | time / forward pass | kept for backward | distance to full autograd |",
        "|---|---|---|---|---|---|",
    ]
    alone: list[float] = []
    for row in rows:
        alone = row.seconds if row.name == "forward pass alone" else alone
        ratio = statistics.median(a / b for a, b in zip(row.seconds, alone, strict=True))
        error = "" if row.error != row.error else f"{row.error:.1e}"
        kept = f"{row.kept / 2**20:.2f} MiB"
        lines.append(f"| {row.device} | {row.batch} | {row.name} | {ratio:.2f} | {kept} | {error} |")
    return "\n".join(lines)
