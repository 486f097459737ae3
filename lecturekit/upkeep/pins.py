"""The one tested set of versions, and what must agree with it.

``pyproject.toml`` says which versions *may* work (ranges), ``constraints.txt`` which ones *were tested*: one
line a package and platform, with no address of a registry in it. pip and conda read that file; uv reads such
a list only from ``[tool.uv] constraint-dependencies``, which therefore repeats it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import tomllib
from itertools import chain
from pathlib import Path

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ..kit.storage import write_atomic

_UV_LIST = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)
_COMPILE = (
    *("uv", "pip", "compile", "pyproject.toml", "--output-file", "constraints.txt", "--quiet"),
    *("--universal", "--python-version", "3.11", "--group", "dev", "--extra", "hub"),
    *("--no-emit-index-url", "--no-annotate", "--no-header"),
)


def repin(root: Path, upgrade: bool = False) -> None:
    """Resolve the ranges of ``root/pyproject.toml`` with uv and write both lists of pins.

    Present pins are kept where the ranges still allow them, unless `upgrade`. Needs uv and a registry. Raises
    ``FileNotFoundError`` without uv and ``RuntimeError`` with uv's own words where there is no solution;
    nothing is changed then.
    """
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    old = (root / "constraints.txt").read_text(encoding="utf-8")
    pins = _resolve(_UV_LIST.sub("", project), "" if upgrade else old)
    listed = "".join(f'    "{pin}",\n' for pin in pins.splitlines())
    write_atomic(root / "constraints.txt", pins)
    write_atomic(
        root / "pyproject.toml", _UV_LIST.sub(lambda _: f"constraint-dependencies = [\n{listed}]\n", project)
    )


def _resolve(project: str, preferred: str) -> str:
    """The pins that uv finds for a pyproject.toml without pins, near to those of `preferred`."""
    if shutil.which("uv") is None:
        raise FileNotFoundError("uv is not installed: python -m pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(project, encoding="utf-8")
        Path(folder, "constraints.txt").write_text(preferred, encoding="utf-8")
        run = subprocess.run(_COMPILE, cwd=folder, capture_output=True, text=True, encoding="utf-8")
        if run.returncode:
            raise RuntimeError(f"uv found no set of versions:\n{run.stderr}")
        return Path(folder, "constraints.txt").read_text(encoding="utf-8")


def disagreements(root: Path) -> list[str]:
    """What pyproject.toml, constraints.txt and environment.yml of `root` disagree on, if anything."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    environment = (root / "environment.yml").read_text(encoding="utf-8")
    uv = project["tool"]["uv"]
    return [
        *(["pyproject.toml: uv's settings name an address"] if "://" in str(uv) else []),
        *_list_faults(lines, uv["constraint-dependencies"]),
        *_range_faults(_requirements(project), [line for line in lines if _is_pin(line)]),
        *_extra_faults(project),
        *_environment_faults(environment, project["project"]["requires-python"]),
    ]


def _is_pin(line: str) -> bool:
    try:
        pin = Requirement(line)
    except InvalidRequirement:
        return False
    return pin.url is None and re.fullmatch(r"==[\w.+!]+", str(pin.specifier)) is not None


def _list_faults(lines: list[str], uv_list: list[str]) -> list[str]:
    faults = [f"constraints.txt: not a pin of the form name==version: {x}" for x in lines if not _is_pin(x)]
    if lines != uv_list:
        only_one = sorted(set(lines) ^ set(uv_list)) or ["their order"]
        faults.append(f"constraints.txt and uv's list in pyproject.toml differ in {', '.join(only_one)}")
    # Both wheels of OpenCV write the same folder; whichever comes last breaks the other.
    opencv = {name for name in map(_name, filter(_is_pin, lines)) if name.startswith("opencv")}
    if len(opencv) > 1:
        faults.append(f"constraints.txt: more than one OpenCV: {', '.join(sorted(opencv))}")
    return faults


def _requirements(project: dict) -> list[Requirement]:
    """Every requirement of the course: its own, those of its extras and those of its groups."""
    extras = project["project"].get("optional-dependencies", {}).values()
    groups = project.get("dependency-groups", {}).values()
    listed = chain(project["project"]["dependencies"], *extras, *groups)
    return [Requirement(r) for r in listed if isinstance(r, str)]  # the rest names a group in a group


def _range_faults(requirements: list[Requirement], pins: list[str]) -> list[str]:
    versions: dict[str, list[str]] = {}
    for pin in pins:
        versions.setdefault(_name(pin), []).append(str(Requirement(pin).specifier).removeprefix("=="))
    faults = []
    for requirement in requirements:
        pinned = versions.get(canonicalize_name(requirement.name), [])
        if not pinned:
            faults.append(f"{requirement.name}: in pyproject.toml but not in constraints.txt")
        faults += [
            f"{requirement.name}: constraints.txt has {version}, pyproject.toml wants {requirement.specifier}"
            for version in pinned
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    return faults


def _extra_faults(project: dict) -> list[str]:
    """`uv run` installs the group "dev" and no extra, so the group repeats all but what is for servers."""
    named = project["project"].get("optional-dependencies", {})
    extras = chain(*(requirements for name, requirements in named.items() if name != "hub"))
    dev = project["dependency-groups"]["dev"]
    return [f"{x}: an extra that the group dev does not repeat" for x in extras if x not in dev]


def _environment_faults(text: str, python: str) -> list[str]:
    """Faults of environment.yml, which names one Python and leaves everything else to constraints.txt."""
    dependencies = yaml.safe_load(text)["dependencies"]
    faults = ["environment.yml: names an address"] if "://" in text else []
    version = next((d.partition("=")[2] for d in dependencies if str(d).startswith("python=")), None)
    if version is None or f"{version}.0" not in SpecifierSet(python):
        faults.append(f"environment.yml: wants python={version}, pyproject.toml {python}")
    pip = next((d["pip"] for d in dependencies if isinstance(d, dict)), [])
    faults += [f"environment.yml: no line '{x}' for pip" for x in _PIP_LINES if x not in pip]
    return faults + [f"environment.yml: '{x}' belongs in pyproject.toml" for x in pip if x not in _PIP_LINES]


_PIP_LINES = ("-c constraints.txt", "-e .[lab,solar]")


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)
