"""README, licences and citation say what is there."""

import re
import tomllib

import pytest
import yaml

from lecturekit import __version__
from lecturekit.kit.storage import ROOT
from lecturekit.upkeep.rules import machine_traces

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "data/README.md")

pytestmark = pytest.mark.skipif(
    not (ROOT / "README.md").exists(), reason="an installed copy has no documents"
)


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere_and_pictures_have_alt_text(name):
    links = re.findall(r"(!?)\[([^\]]*)\]\(([^)\s]*)\)", read(name))
    for picture, text, target in links:
        assert text.strip(), f"no text for {target}"
        assert target.startswith("https://") or ((ROOT / name).parent / target).is_file(), target
        assert not picture or len(text) > 40, f"say what is to be seen: {text}"
    assert machine_traces(read(name)) == []


def test_the_readme_lists_the_notebooks_that_exist():
    listed = set(re.findall(r"\((notebooks/[^)]+)\)", read("README.md")))
    assert listed == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_the_readme_begins_with_the_picture_and_the_two_commands():
    text = read("README.md")
    order = [
        text.index(part)
        for part in ("# From Class", "docs/explorer.png", "uv run jupyter lab\nuv run pytest")
    ]
    assert order == sorted(order)
    assert (ROOT / "docs/explorer.png").stat().st_size < 400_000


def test_licences():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["license"] == "MIT AND CC-BY-4.0"
    assert "Permission is hereby granted, free of charge" in read("LICENSE")
    for name in ("LICENSE-TEXT", "README.md"):
        text = " ".join(read(name).split())
        assert "From Class to Pixels" in text
        assert "Friedrich-Alexander-Universität Erlangen-Nürnberg" in text
        assert "https://creativecommons.org/licenses/by/4.0/" in text
        assert "What was changed" in text


def test_the_citation_is_of_this_version_and_names_the_lecture():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert (
        str(citation["version"]) == __version__ == tomllib.loads(read("pyproject.toml"))["project"]["version"]
    )
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    assert citation["references"][0]["license"] == "CC-BY-4.0"
    assert "From Class to Pixels" in citation["references"][0]["title"]
