"""The doctor finds what is really broken, says what to do, and its exit code tells a script."""

import collections
import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import types

import pytest
from support import LIMIT, printed
from typer.testing import CliRunner

from lecturekit import models
from lecturekit.kit import storage
from lecturekit.upkeep import cli, doctor
from lecturekit.upkeep.rules import machine_traces

run = CliRunner()


@pytest.fixture
def gone(monkeypatch):
    """A function that makes a module impossible to import and its package unknown."""

    def take_away(name: str) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        version = importlib.metadata.version

        def without(wanted):
            if wanted == name:
                raise importlib.metadata.PackageNotFoundError(name)
            return version(wanted)

        monkeypatch.setattr(importlib.metadata, "version", without)

    return take_away


def only(monkeypatch, **checks):
    """Let the doctor make these checks alone."""
    monkeypatch.setattr(doctor, "CHECKS", checks)


def test_where_the_tests_run_the_course_runs():
    found = doctor.report()
    assert found.ok, str(found)
    result = subprocess.run(
        [sys.executable, "-m", "lecturekit", "doctor"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for name in doctor.CHECKS:
        assert re.search(rf"^(ok|missing) +{name} ", result.stdout, re.MULTILINE), name
    assert result.stdout.rstrip().endswith("The course can run here.")
    assert len(result.stdout.splitlines()) <= 24, "a screen at most"


def test_any_problem_makes_the_exit_code_1(monkeypatch):
    only(monkeypatch, good=lambda: doctor._ok("fine"), bad=lambda: doctor._problem("broken", "mend it"))
    result = run.invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert "PROBLEM  bad          broken" in result.output
    assert "-> mend it" in result.output


def test_what_is_only_missing_does_not(monkeypatch):
    only(monkeypatch, extra=lambda: doctor._missing("no solar cells", "install them"))
    result = run.invoke(cli.app, ["doctor"])
    assert (result.exit_code, "-> install them" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 10, 14), "PROBLEM"),
        ((3, 11, 0), "ok"),
        ((3, 13, 9), "ok"),
        ((3, 14, 0), "PROBLEM"),
        ((4, 0, 0), "PROBLEM"),
    ],
)
def test_python_out_of_range(monkeypatch, version, state):
    monkeypatch.setattr(sys, "version_info", collections.namedtuple("V", "major minor micro")(*version))
    found = doctor.check_python()
    assert (found.state, found.found) == (state, ".".join(map(str, version)))
    assert ("use Python 3.11 to 3.13" in found.advice) == (state == "PROBLEM")


def test_an_intel_mac_is_told_where_to_go(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert doctor.check_system().state == "PROBLEM"
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert doctor.check_system() == doctor._ok("macOS on arm64")


def test_a_missing_package_is_named_with_the_way_to_install_it(gone, monkeypatch):
    gone("timm")
    found = doctor.check_packages()
    assert (found.state, found.found, found.advice) == ("PROBLEM", "timm is missing", doctor.INSTALL)


def test_an_old_package_is_named_with_what_is_wanted(monkeypatch):
    version = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.4" if name == "timm" else version(name)
    )
    assert doctor.check_packages().found.startswith("timm is 0.4, wanted ")


@pytest.mark.parametrize(("name", "check"), [("torch", "torch"), ("jupyter_client.kernelspec", "Front end")])
def test_a_module_that_cannot_be_imported_is_a_problem_not_a_crash(gone, monkeypatch, name, check):
    gone(name)
    only(monkeypatch, **{check: doctor.CHECKS[check]})
    result = run.invoke(cli.app, ["doctor"])
    assert result.exit_code == 1
    assert f"the package {name} is missing" in result.output
    assert "uv sync" in result.output


def test_torchvision_of_another_build(monkeypatch):
    def absent():
        raise OSError("undefined symbol: torch_library_impl")

    monkeypatch.setattr(doctor, "_torchvision_nms", absent)
    found = doctor.check_torch()
    assert found.state == "PROBLEM"
    assert "do not fit" in found.found
    assert "--force-reinstall torch torchvision" in found.advice

    monkeypatch.setattr(doctor, "_torchvision_nms", lambda: lambda boxes, scores, share: scores.argsort())
    assert "kept boxes [2, 1, 0]" in doctor.check_torch().found


def test_a_library_that_torch_cannot_load_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "_C_stable.so").write_bytes(b"of another build")
    elsewhere = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: elsewhere)
    assert "do not fit" in doctor.check_torch().found


def test_the_doctor_imports_neither_torchvision_nor_torchs_compiler():
    """Both together take longer than everything else that the doctor does."""
    slow = ("torchvision", "torch._dynamo")
    words = printed(
        "import sys\nfrom lecturekit.upkeep import doctor\nassert doctor.report().ok\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    assert words.strip() == "[]"


def test_a_damaged_weights_file(monkeypatch, tmp_path):
    damaged = tmp_path / "weights.pth"
    data = bytearray(models.weights_path().read_bytes())
    data[len(data) // 2] ^= 1  # a single bit
    damaged.write_bytes(data)
    monkeypatch.setattr(models, "weights_path", lambda: damaged)
    found = doctor.check_weights()
    assert (found.state, "SHA-256 differs" in found.found) == ("PROBLEM", True)
    assert f"--no-deps {models.WEIGHTS_PACKAGE}==" in found.advice


def test_weights_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda _: None)
    found = doctor.check_weights()
    assert (found.state, found.found) == ("PROBLEM", "not installed")


@pytest.mark.parametrize("there", [True, False])
def test_a_kernel_of_another_python(monkeypatch, tmp_path, there):
    program = tmp_path / "python"
    if there:
        program.touch()
    from jupyter_client import kernelspec

    spec = types.SimpleNamespace(argv=[str(program), "-m", "ipykernel_launcher"])
    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", lambda *_: spec)
    found = doctor.check_front_end()
    assert (found.state, found.detail) == ("PROBLEM", str(program))
    assert "ipykernel install" in found.advice


@pytest.mark.parametrize("argv0", ["python", sys.executable])
def test_a_kernel_of_this_python(monkeypatch, argv0):
    from jupyter_client import kernelspec

    spec = types.SimpleNamespace(argv=[argv0])
    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", lambda *_: spec)
    assert doctor.check_front_end().state == "ok"


def test_a_data_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "file" / "below"))
    found = doctor.report().findings
    assert found["Data folder"].state == "PROBLEM"
    assert "LECTUREKIT_DATA" in found["Data folder"].found
    assert found["Free disk"].advice == "see Data folder"


def test_a_folder_that_does_not_last(monkeypatch, tmp_path):
    monkeypatch.delenv("LECTUREKIT_DATA")
    monkeypatch.setattr(storage, "_writable", lambda _: False)
    storage._temporary.cache_clear()
    found = doctor.check_data()
    storage._temporary().rmdir()
    storage._temporary.cache_clear()
    assert (found.state, "your work is lost" in found.advice) == ("missing", True)


@pytest.mark.parametrize(("free", "state"), [(999_999_999, "PROBLEM"), (1_000_000_001, "ok")])
def test_a_full_disk(monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free))
    assert doctor.check_disk().state == state


@pytest.mark.parametrize("check", ["Chromium", "uv", "Solar cells"])
def test_optional_parts_that_are_not_there(monkeypatch, check):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    found = doctor.CHECKS[check]()
    assert (found.state, bool(found.advice)) == ("missing", True)


def test_a_check_that_fails_itself_is_reported(monkeypatch):
    only(monkeypatch, odd=lambda: 1 / 0)
    found = doctor.report().findings["odd"]
    assert (found.state, found.found, found.detail) == (
        "PROBLEM",
        "ZeroDivisionError while looking",
        "division by zero",
    )


def test_the_notebook_form_names_nothing_of_the_machine(monkeypatch):
    found = doctor.report()
    for shown in (found._repr_html_(), repr(found)):
        assert machine_traces(shown) == []
        assert sys.executable not in shown
        assert found.verdict in shown
    assert sys.executable in str(found)


def test_the_notebook_form_escapes_what_it_shows(monkeypatch):
    only(monkeypatch, bad=lambda: doctor._problem("<b>&", "say <i>"))
    shown = doctor.report()._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "→ say &lt;i&gt;" in shown


def test_a_python_without_packages_is_examined_too():
    """-S takes site-packages away, as on a machine where nothing was installed."""
    result = subprocess.run(
        [sys.executable, "-S", "-m", "lecturekit", "doctor"],
        cwd=storage.ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
    )
    assert result.returncode == 1
    assert "the package torch is missing" in result.stdout
    assert "uv sync" in result.stdout
    assert result.stderr == ""
