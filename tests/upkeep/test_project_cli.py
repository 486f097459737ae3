import json

import pytest
from project_pictures import drawn, folder_of, number, painted
from support import ROOT
from typer.testing import CliRunner

from lecturekit.labs import project
from lecturekit.labs.project import _train
from lecturekit.upkeep.cli import app


def run(*words, code=0):
    done = CliRunner().invoke(app, ["project", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.usefixtures("one_thread")
def test_from_a_folder_to_masks(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(_train, "STEPS", 40)
    photos, here = folder_of(tmp_path / "photos", 12), tmp_path / "p"
    (photos / "broken.jpg").write_bytes(b"")
    said = run("new", photos, "--classes", "disc, square", "--test", 3, "--path", here)
    assert "9 pictures to learn from, 3 set aside" in said
    assert "left out: broken.jpg" in said
    made = project.load(here)
    for one in made.pictures[:-2]:
        made.save_labels(one, drawn(painted(number(one))[1], "mask"))
    assert project.reported(made) is None
    assert "taught by" in run("train", "-p", here, "--side", 64, "--device", "cpu")
    assert len(run("suggest", "-p", here, "-n", 1).splitlines()) <= 1
    assert run("report", "-p", here).strip().endswith("project-report.html")
    assert "| 1 |" in run("board", here)
    assert "It begins from your report" in run("plan", 1, "-p", here)
    pilot = project.reported(project.load(here))
    assert pilot.pictures == {"masks": sum(bool(made.labels(one)) for one in made.train)}
    assert pilot.low <= pilot.quality <= pilot.high
    assert "masks of 12 pictures" in run("predict", photos, "-p", here, "--to", "yolo", "--device", "cpu")
    run("export", tmp_path / "student.pt", "-p", here)
    assert (tmp_path / "student.pt").stat().st_size > 1e6
    run("export", tmp_path / "student.onnx", "-p", here)
    assert (tmp_path / "student.onnx").stat().st_size > 1e6
    assert "path must end in one of" in run("export", tmp_path / "student.tflite", "-p", here, code=1)
    run("rename", "disc", "ball", "-p", here)
    assert project.load(here).classes == ("ball", "square")
    (photos / "00.png").unlink()
    assert "gone: 00.png" in run("refresh", "-p", here)


@pytest.mark.skipif(not (ROOT / "docs/results/project.json").is_file(), reason="no curves were measured")
def test_hours_are_planned(tmp_path):
    run("new", folder_of(tmp_path / "photos", 12), "--classes", "disc, square", "--path", tmp_path)
    assert "Draw " in run("plan", 2, "-p", tmp_path)
    assert " CHF)." in run("plan", 2, "-p", tmp_path, "--wage", 30, "--currency", "CHF")


@pytest.mark.parametrize("name", ["label", "correct"])
def test_notebooks_are_made_once(taught_cli, name):
    path = taught_cli.beside(f"{name}.ipynb")
    run(name, "-p", taught_cli.path, "--no-browser")
    book = json.loads(path.read_text("utf-8"))
    (cell,) = book["cells"]
    compile("".join(cell["source"]), "cell", "exec")
    assert "ProjectLabeller(p, **options)" in "".join(cell["source"])
    path.write_text("mine")
    run(name, "-p", taught_cli.path, "--no-browser")
    assert path.read_text() == "mine"


@pytest.fixture
def taught_cli(tmp_path, monkeypatch):
    made = project.new(folder_of(tmp_path / "photos", 3), ["disc"], path=tmp_path / "p")
    monkeypatch.setattr(project, "trained", lambda found: None)
    return made


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    for words in (["train"], ["report"], ["suggest"], ["label", "--no-browser"], ["predict", tmp_path]):
        said = run(*words, "-p", tmp_path, code=1)
        assert "there is no project file" in said
        assert "Traceback" not in said
    photos = folder_of(tmp_path / "photos", 3)
    run("new", photos, "--classes", "disc")
    assert "there is a project already" in run("new", photos, "--classes", "disc", code=1)
    assert "train first" in run("correct", "-p", photos, "--no-browser", code=1)
    assert "format_ must be" in run("import", photos, "--from", "excel", "-p", photos, code=1)
