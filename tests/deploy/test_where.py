"""Where people run the course: what can be checked without being there."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "deploy").is_dir(), reason="an installed copy has no deploy folder"
)

COLAB = json.loads((Path(__file__).with_name("colab.json")).read_text("utf-8"))["runtimes"]
#: What Colab holds in memory while it installs: a new version breaks the running notebook.
LOADED = ("ipykernel", "ipython", "notebook", "jupyter-client", "tornado", "numpy", "torch", "torchvision")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize("runtime", COLAB)
def test_colab_keeps_what_it_has(runtime):
    """Each version of Colab's that the course asks for lies in the course's range."""
    wanted = {canonicalize_name(r.name): r.specifier for r in map(Requirement, project()["dependencies"])}
    met = {name: version for name, version in COLAB[runtime].items() if name in wanted}
    assert {"numpy", "torch", "torchvision", "scipy", "matplotlib", "tqdm"} <= set(met)
    assert [f"{n} {v}" for n, v in met.items() if v not in wanted[n]] == []


def test_a_plain_install_asks_for_no_front_end():
    names = {canonicalize_name(Requirement(line).name) for line in project()["dependencies"]}
    assert names.isdisjoint({"jupyterlab", "notebook", "ipykernel", "jupyterhub", "jupyter-client"})
    assert {Requirement(line).name for line in project()["optional-dependencies"]["lab"]} == {
        "ipykernel",
        "jupyterlab",
        "nbclient",
        "notebook",
    }


@pytest.mark.slow
@pytest.mark.parametrize("runtime", COLAB)
def test_pip_replaces_nothing_that_colab_has_loaded(runtime, tmp_path):
    """pip's own resolver beside stand-ins for Colab's packages, which have only a name and a version."""
    if shutil.which("uv") is None:
        pytest.skip("uv makes the environment")
    subprocess.run(["uv", "venv", "-q", "--seed", "--python", sys.executable, tmp_path / "v"], check=True)
    bin_ = tmp_path / "v" / ("Scripts" if sys.platform == "win32" else "bin")
    where = subprocess.run(
        [bin_ / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for name, version in COLAB[runtime].items():
        info = Path(where) / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("")
        (info / "INSTALLER").write_text("pip\n")
    subprocess.run(["uv", "build", "-q", "--wheel", "-o", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    report = tmp_path / "report.json"
    command = [bin_ / "python", "-m", "pip", "install", "--dry-run", "--quiet", "--report", report, wheel]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "Could not find a version" in done.stderr:
        pytest.skip("no index of packages can be reached")
    assert done.returncode == 0, done.stderr
    planned = json.loads(report.read_text("utf-8"))["install"]
    names = {canonicalize_name(entry["metadata"]["name"]) for entry in planned}
    assert "lecturekit" in names
    assert names.isdisjoint(LOADED), names & set(LOADED)


def test_environment_yml_and_the_pins_cover_every_package():
    """conda's part is one Python; everything else is pinned, for the platforms that the course names."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    plain = [line for line in environment["dependencies"] if isinstance(line, str)]
    assert sorted(line.partition("=")[0] for line in plain) == ["pip", "python"]
    pins = {
        canonicalize_name(Requirement(line).name)
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    asked = [*project()["dependencies"], *project()["optional-dependencies"]["lab"]]
    assert {canonicalize_name(Requirement(line).name) for line in asked} <= pins


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_environment_yml_can_be_solved(platform, tmp_path):
    """The part for pip, as uv solves it for a platform, wheels only but for what has none."""
    if shutil.which("uv") is None:
        pytest.skip("uv solves it")
    version = next(
        line.partition("=")[2]
        for line in yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
        if isinstance(line, str) and line.startswith("python=")
    )
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--python-version", version]
    command += ["--python-platform", platform, "-c", "constraints.txt", "--extra", "lab", "--extra", "solar"]
    done = subprocess.run(
        [*command, "pyproject.toml", "-o", tmp_path / "solved.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    solved = (tmp_path / "solved.txt").read_text("utf-8")
    assert "torch==" in solved
    assert ("higra==" in solved) == platform.startswith("x86")


def test_on_linux_on_arm_only_region_proposals_are_missing(monkeypatch):
    """Where higra has no wheels; that nothing else loads it is tested with the optimiser."""
    from lecturekit.pixels.proposals import proposals

    monkeypatch.setitem(sys.modules, "higra", None)
    with pytest.raises(ModuleNotFoundError, match="need the package higra, which is not installed") as caught:
        proposals(np.zeros((9, 9, 3), np.uint8))
    assert caught.value.name == "higra"


def test_the_devcontainer_installs_the_tested_versions():
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8")
    found = json.loads(text)
    assert "-c constraints.txt -e '.[lab,solar]'" in found["postCreateCommand"]
    version = re.search(r"python:([\d.]+)$", found["image"])[1]
    assert f"{version}.1" in Requirement(f"x{project()['requires-python']}").specifier
    for opened in found["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / "notebooks" / Path(opened).name).is_file()
        assert opened.startswith("work/")


AWKWARD = ["with blanks in it", "Übungen für 机器学习", "x" * 200]


@pytest.mark.parametrize("name", AWKWARD, ids=["blanks", "not ASCII", "200 letters"])
def test_folders_of_any_name(name, tmp_path, monkeypatch):
    """Copies, labels, ladder, a class's page: all in a folder with such a name."""
    from lecturekit.labels.label_file import LabelFile
    from lecturekit.labs import ladder
    from lecturekit.publish import collect
    from lecturekit.upkeep import copies

    home = tmp_path / name
    monkeypatch.setenv("LECTUREKIT_DATA", str(home / "data"))
    first = copies.start(home)
    assert first.is_file()
    assert copies.update(home / "work") == []
    ladder.add("07_x", "boxes", 7, 0.5, "mean IoU")
    file = LabelFile.of("a key/with: signs", "0" * 8, (10, 10), ("thing",))
    label = {"id": "a", "kind": "point", "class_index": 1, "points": [[1.0, 2.0]], "milliseconds": 1}
    file.save([{"id": "a", "edit": 1, "by": "v1", "label": label}])
    assert len(file.load()[0]) == 1
    found = collect.write(home / "data", home / "class.html")
    assert len(found.ladders) == 1
    assert (home / "class.html").is_file()


#: What Windows refuses in the name of a file.
REFUSED = re.compile(r'[<>:"|?*\x00-\x1f\\]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


def test_names_of_files_in_the_repository_are_good_on_windows():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no git, or no clone")
    names = done.stdout.decode().strip("\0").split("\0")
    assert [name for name in names if any(REFUSED.search(part) for part in name.split("/"))] == []
    folded = [name.casefold() for name in names]
    assert len(set(folded)) == len(folded)  # Windows and macOS do not tell A from a


def test_names_of_files_that_are_written_are_good_on_windows(tmp_path, monkeypatch):
    from lecturekit.labs import stopwatch
    from lecturekit.publish import teach

    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    teach.write(tmp_path / "teach")
    measure = stopwatch.Measure(next(iter(stopwatch.KINDS)), 0, 2.0, 0.5, 0.9)
    stopwatch.export([measure])
    parts = [part for path in tmp_path.rglob("*") for part in path.relative_to(tmp_path).parts]
    assert len(parts) > 50
    assert [part for part in parts if REFUSED.search(part)] == []
    assert max(map(len, parts)) < 100


def test_installing_puts_one_file_of_its_own_name_into_jupyter():
    """Nothing of a person's own JupyterLab is replaced: no file that JupyterLab or an administrator has."""
    shared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]["shared-data"]
    assert list(shared.values()) == ["etc/jupyter/jupyter_server_config.d/lecturekit.json"]
    settings = json.loads((ROOT / next(iter(shared))).read_text("utf-8"))
    assert settings == {"ServerApp": {"jpserver_extensions": {"lecturekit.upkeep.server": True}}}
    assert importlib.metadata.version("lecturekit")


def test_badges_only_for_what_was_tried():
    """README has no badge: none of the services that give them was tried."""
    for page in (ROOT / "README.md", ROOT / "docs" / "where.md"):
        assert not re.search(
            r"badge.*svg|mybinder\.org/v2|colab\.research", page.read_text("utf-8"), re.IGNORECASE
        )
