"""README, licences and citation say what is there."""

import json
import re
import tomllib
from urllib.parse import urlsplit

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


#: What the course links to, and how such an address looks. None is asked here: a person reads new ones.
ELSEWHERE = {
    "arxiv.org": r"/abs/\d{4}\.\d{4,5}",
    "creativecommons.org": r"/licenses/(by|by-nc-sa)/4\.0/(legalcode)?",
    "doi.org": r"/10\.\d{4,}/\S+",
    "lme.tf.fau.de": r"/lecture-notes/\S+/",
    "vision.middlebury.edu": r"/stereo/data/\S+/",
}


def texts():
    """Every text that a reader follows links from, by name."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path.name, "\n".join("".join(cell["source"]) for cell in cells)
    for pattern in ("*.md", "docs/*.md", "site/*.md", "site/live/**/*.md", "data/*.md", "LICENSE-TEXT"):
        for path in sorted(ROOT.glob(pattern)):
            yield path.name, path.read_text(encoding="utf-8")


def test_addresses_elsewhere_have_the_form_of_their_host():
    found = 0
    for name, text in texts():
        for address in re.findall(r"https?:[^\s)>\"'`\]]+", text):
            parts = urlsplit(address.rstrip(".,;"))
            if parts.hostname == "127.0.0.1" or "_" in parts.netloc or parts.netloc.isupper():
                continue  # the reader's own machine, or a name to put in
            assert parts.scheme == "https", f"{name}: {address}"
            assert parts.hostname in ELSEWHERE, f"{name}: {address}"
            assert re.fullmatch(ELSEWHERE[parts.hostname], parts.path), f"{name}: {address}"
            found += 1
    assert found > 50


def test_the_one_set_of_pictures_under_another_licence_is_named():
    for name in ("LICENSE-TEXT", "README.md", "site/index.md", "site/live/data/README.md"):
        assert "CC BY-NC-SA 4.0" in read(name), name
        assert "ELPV" in read(name), name
