"""pyproject.toml, constraints.txt and environment.yml agree, and the check would notice if they did not."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from lecturekit.kit.storage import ROOT
from lecturekit.upkeep import cli, doctor, pins

FILES = ("pyproject.toml", "constraints.txt", "environment.yml")

pytestmark = pytest.mark.skipif(not (ROOT / FILES[0]).exists(), reason="an installed copy has no pins")


@pytest.fixture
def copy(tmp_path):
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def change(folder, name, old, new):
    """Replace the one place where the pattern `old` matches in a file of `folder`."""
    text, count = re.subn(old, new, (folder / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert count == 1, f"{old!r} matches {count} times in {name}"
    (folder / name).write_text(text, encoding="utf-8")


def test_the_files_agree():
    assert pins.disagreements(ROOT) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("constraints.txt", r"^timm==.*\n", "", "timm: in pyproject.toml but not in constraints.txt"),
        ("constraints.txt", r"^timm==.*", "timm==0.9.1", "timm: constraints.txt has 0.9.1"),
        ("constraints.txt", r"^anyio==.*", "anyio==0.0.1", "differ in"),
        ("constraints.txt", r"^anyio==", "anyio>=", "not a pin"),
        ("constraints.txt", r"^anyio==.*", "anyio @ https://example.org/anyio.whl", "not a pin"),
        ("constraints.txt", r"\Z", "--index-url https://example.org/simple\n", "not a pin"),
        ("constraints.txt", r"^(opencv-python)-headless(.*)", r"\1-headless\2\n\1\2", "more than one OpenCV"),
        ("pyproject.toml", r'^    "timm>=.*', '    "timm>=99",', "timm: constraints.txt has"),
        ("pyproject.toml", r'^    "tqdm>=', '    "left-pad>=1",\n    "tqdm>=', "left-pad: in pyproject.toml"),
        ("pyproject.toml", r'^    "anyio==.*\n', "", "differ in anyio"),
        ("pyproject.toml", r'^    "elpv-dataset.*#.*\n', "", "elpv-dataset>=1,<2: an extra"),
        (
            "pyproject.toml",
            r"^\[tool.uv\]",
            '[tool.uv]\nindex-url = "https://example.org/simple"',
            "an address",
        ),
        ("pyproject.toml", r"^requires-python = .*", 'requires-python = ">=3.13"', "environment.yml: wants"),
        ("environment.yml", r"python=[\d.]+", "python=3.10", "environment.yml: wants python=3.10"),
        ("environment.yml", r"  - python=.*\n", "", "environment.yml: wants python=None"),
        ("environment.yml", r"      - -c constraints.txt\n", "", "no line '-c constraints.txt'"),
        ("environment.yml", r"\Z", "      - torch==2.6\n", "'torch==2.6' belongs in pyproject.toml"),
        ("environment.yml", r"  - conda-forge", "  - https://example.org/channel", "names an address"),
    ],
)
def test_a_disagreement_is_noticed(copy, name, old, new, complaint):
    change(copy, name, old, new)
    assert any(complaint in found for found in pins.disagreements(copy)), pins.disagreements(copy)


def test_one_range_of_pythons_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (low, high), wanted = doctor.PYTHON, SpecifierSet(project["project"]["requires-python"])
    assert wanted == SpecifierSet(f">={low[0]}.{low[1]},<{high[0]}.{high[1]}")
    assert project["tool"]["ruff"]["target-version"] == f"py{low[0]}{low[1]}"
    assert f"{low[0]}.{low[1]}" in pins._COMPILE

    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tested == [f"{low[0]}.{minor}" for minor in range(low[1], high[1])]


def test_repin_keeps_what_fits_and_writes_both_lists(copy, monkeypatch):
    """uv itself is played by a stand-in that shows what it was given."""
    given = {}

    def uv(command, cwd, **_):
        given.update({name: (pins.Path(cwd) / name).read_text(encoding="utf-8") for name in FILES[:2]})
        (pins.Path(cwd) / "constraints.txt").write_text("torch==2.7.0\n", encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pins.shutil, "which", lambda _: "uv")
    monkeypatch.setattr(pins.subprocess, "run", uv)
    before = (copy / "constraints.txt").read_text(encoding="utf-8")
    pins.repin(copy)
    assert given["constraints.txt"] == before
    assert "constraint-dependencies" not in given["pyproject.toml"]
    assert (copy / "constraints.txt").read_text(encoding="utf-8") == "torch==2.7.0\n"
    project = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["uv"]["constraint-dependencies"] == ["torch==2.7.0"]
    assert project["tool"]["pytest"]["ini_options"]["minversion"]

    pins.repin(copy, upgrade=True)
    assert given["constraints.txt"] == ""


@pytest.mark.parametrize(("which", "error"), [(None, FileNotFoundError), ("uv", RuntimeError)])
def test_repin_that_fails_changes_nothing(copy, monkeypatch, which, error):
    monkeypatch.setattr(pins.shutil, "which", lambda _: which)
    failed = subprocess.CompletedProcess([], 1, "", "no solution found")
    monkeypatch.setattr(pins.subprocess, "run", lambda *_, **__: failed)
    before = {name: (copy / name).read_bytes() for name in FILES}
    with pytest.raises(error, match="uv"):
        pins.repin(copy)
    assert {name: (copy / name).read_bytes() for name in FILES} == before


def test_the_command_checks_and_tells(copy, monkeypatch):
    run = CliRunner()
    good = run.invoke(cli.app, ["pins", "--check"])
    assert (good.exit_code, "agree" in good.output) == (0, True)

    change(copy, "constraints.txt", r"^timm==.*\n", "")
    monkeypatch.setattr(cli, "ROOT", copy)
    bad = run.invoke(cli.app, ["pins", "--check"])
    assert bad.exit_code == 1
    assert "timm" in bad.output
