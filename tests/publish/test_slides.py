"""Decks: what is on them, what they refer to, where they come from."""

import re
import tarfile

import pytest

from lecturekit.publish import npm, slides
from lecturekit.publish.course import Figure, course


@pytest.fixture(scope="module")
def decks():
    return {chapter.number: (chapter, slides.deck(chapter)) for chapter in course()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Written with stand-ins for the packages."""
    base = tmp_path_factory.mktemp("packages")
    for name, files in slides._COPIED.items():
        for file in files:
            (base / name / file).parent.mkdir(parents=True, exist_ok=True)
            (base / name / file).write_text(name, encoding="utf-8")
    out = tmp_path_factory.mktemp("slides")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npm, "package", lambda name: base / name)
        slides.write(out)
    return out


def test_every_exercise_question_and_figure_has_its_slides(decks):
    for chapter, deck in decks.values():
        kinds = [slide.kind for slide in deck]
        assert kinds.count("Exercise") == kinds.count("Common mistakes") == len(chapter.exercises)
        assert kinds.count("Open task") == len(chapter.tasks)
        questions = sum(len(quiz.questions) for quiz in chapter.quizzes)
        assert sum(kind.endswith(": answer") for kind in kinds) == questions
        figures = [p for s in chapter.sections for p in s.parts if isinstance(p, Figure)]
        assert [slide.figure for slide in deck if slide.figure] == figures


def test_a_slide_with_a_figure_has_a_heading_and_few_words(decks):
    for chapter, deck in decks.values():
        for slide in deck:
            if slide.figure:
                words = re.sub("<[^>]+>", "", slide.body)
                assert slide.heading, chapter.name
                assert len(words) < 330, words
                assert slide.figure.alt in slide.notes


def test_a_question_does_not_give_its_answer_away(decks):
    for _, deck in decks.values():
        for slide in deck:
            if slide.kind.startswith("Question"):
                assert ('class="right"' in slide.body) == slide.kind.endswith("answer")


def test_texts_of_the_notebook_are_in_the_notes(decks):
    chapter, deck = decks["06"]
    notes = " ".join(slide.notes for slide in deck)
    for section in chapter.sections:
        if section.title not in slides._LEFT_OUT and not section.title.startswith("Explore"):
            assert all(part in notes for part in section.parts if isinstance(part, str)), section.title


def test_pages_refer_only_to_what_lies_beside_them(folder, decks):
    pages = sorted(folder.glob("*.html"))
    assert len(pages) == len(decks) + 1
    for page in pages:
        text = page.read_text("utf-8")
        for link in re.findall(r'(?:src|href)="([^"]+)"', re.sub(r"<aside.*?</aside>", "", text, flags=re.S)):
            assert link.startswith("https://lme") or (folder / link).is_file(), link
        assert not re.search(r'(?:src=|url\()"?(?:https?:)?//', text)
        assert text.count("<section>") == text.count("</section>")


def test_a_package_is_fetched_once(monkeypatch, tmp_path):
    calls = []

    def pack(command, cwd, **options):
        calls.append(command)
        (tmp_path / "package").mkdir(exist_ok=True)
        (tmp_path / "package" / "a.js").write_text("1")
        with tarfile.open(f"{cwd}/x.tgz", "w:gz") as archive:
            archive.add(tmp_path / "package", "package")
        return type("Done", (), {"returncode": 0, "stdout": "x.tgz\n", "stderr": ""})

    monkeypatch.setattr(npm.platformdirs, "user_cache_dir", lambda *a, **k: str(tmp_path / "cache"))
    monkeypatch.setattr(npm.shutil, "which", lambda name: name)
    monkeypatch.setattr(npm.subprocess, "run", pack)
    assert (npm.package("reveal.js") / "a.js").read_text() == "1"
    assert npm.package("reveal.js").name == "reveal.js-5.2.1"
    assert len(calls) == 1
    assert calls[0][-1] == "reveal.js@5.2.1"


def test_without_npm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(npm.platformdirs, "user_cache_dir", lambda *a, **k: str(tmp_path))
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"npm is missing, which fetches mathjax"):
        npm.package("mathjax")
    with pytest.raises(ValueError, match="name must be"):
        npm.package("left-pad")
