"""The command line says what it offers; each command's own tests are beside its module's."""

import pytest
from support import printed
from typer.testing import CliRunner

from lecturekit.benchmarks import evidence
from lecturekit.publish import site
from lecturekit.upkeep import cli

run = CliRunner()


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands(arguments):
    result = run.invoke(cli.app, arguments)
    for command in ("doctor", "refresh", "pins", "bench"):
        assert command in result.output


def test_help_does_not_wait_for_torch():
    heavy = "{'torch', 'matplotlib', 'timm'}"
    code = f"import sys, lecturekit.upkeep.cli; print(sorted({heavy} & set(sys.modules)))"
    assert printed(code) == "[]\n"


def test_bench_runs_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(evidence, "run", lambda data=None: f"a table of {data}")
    assert run.invoke(cli.app, ["bench", "evidence"]).output == "a table of None\n"
    result = run.invoke(cli.app, ["bench", "evidence", "--data", str(tmp_path)])
    assert result.output == f"a table of {tmp_path}\n"


def test_bench_lists_what_there_is_when_it_does_not_know_the_name():
    result = run.invoke(cli.app, ["bench", "nothing"])
    assert result.exit_code == 2
    assert "evidence" in result.output


def test_bench_names_a_folder_that_is_missing_in_a_line(tmp_path):
    result = run.invoke(cli.app, ["bench", "boxes", "--data", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "VOC" in result.output
    assert "Traceback" not in result.output


def test_bench_refuses_an_option_that_a_benchmark_does_not_have(monkeypatch):
    monkeypatch.setattr(evidence, "run", lambda data=None: "a table")
    result = run.invoke(cli.app, ["bench", "evidence", "--seeds", "2"])
    assert result.exit_code == 2
    assert "--seeds" in result.output


def test_site_says_where_it_is_what_is_missing_and_what_is_wrong(monkeypatch, tmp_path):
    """Building it is tested in the browser's tests."""

    def built(out, photo):
        (out / "index.html").write_bytes(bytes(200_000))
        return "there is no npm" if photo else ""

    monkeypatch.setattr(site, "build", built)
    assert run.invoke(cli.app, ["site", str(tmp_path), "--no-photo"]).output.endswith("index.html: 0.2 MB\n")
    result = run.invoke(cli.app, ["site", str(tmp_path)])
    assert result.exit_code == 0
    assert "without the page for a visitor's own photograph: there is no npm" in result.output

    def faulty(out, photo):
        raise site.Faulty("a.html: b.html leads nowhere")

    monkeypatch.setattr(site, "build", faulty)
    result = run.invoke(cli.app, ["site", str(tmp_path)])
    assert result.exit_code == 1
    assert "leads nowhere" in result.output


def test_labels_says_what_is_missing(tmp_path):
    result = run.invoke(cli.app, ["labels", "naive", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "VOC" in result.output
