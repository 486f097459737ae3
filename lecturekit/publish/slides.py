"""Slides out of the notebooks: one deck of reveal.js a chapter, which works offline and from a folder.

A slide has a heading, a sentence and a figure; an exercise, its common mistakes, a question and its answer
have slides of their own. Everything else that the notebook says stands in the speaker notes.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..exercises import Exercise, OpenTask
from ..exercises.quiz import Question, Quiz
from ..kit.storage import write_atomic
from . import npm
from .course import Figure, Material, Section, course, lecture_link
from .markup import formulas, inline, quotations, sentences, to_html

#: What is copied beside the decks, from which package.
_COPIED = {
    "reveal.js": ["dist/reveal.js", "dist/reveal.css", "dist/reset.css", "plugin/notes/notes.js", "LICENSE"],
    "mathjax": ["es5/tex-svg.js", "LICENSE"],
}
#: Letters from which the words of a slide are set smaller.
_LONG, _LONGER = 360, 620
_SHOWN_MISTAKES = 3
#: Letters below which a sentence does not stand alone.
_SHORT = 50
#: Headings whose contents have slides of their own, or none.
_LEFT_OUT = ("Quiz", "Recap")


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes:
        heading: plain text.
        body: HTML below it.
        kind: what sort of slide it is, shown above the heading, or "".
        notes: Markdown for the speaker.
        figure: shown below the body, or None.
    """

    heading: str
    body: str
    kind: str = ""
    notes: str = ""
    figure: Figure | None = None


def write(folder: str | Path) -> list[Path]:
    """Write a deck a chapter, a page that lists them, and what they need.

    Args:
        folder: made where it is missing.

    Returns:
        The pages, the list first.

    Raises:
        FileNotFoundError: an installation without notebooks.
        RuntimeError: npm is missing or has no packages to give.
    """
    folder, chapters = Path(folder), course()
    for name, files in _COPIED.items():
        source = npm.package(name)
        for file in files:
            target = folder / name / Path(file).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target)
    write_atomic(folder / "slides.css", Path(__file__).with_name("slides.css").read_bytes())
    pages = [write_atomic(folder / "index.html", _list(chapters))]
    for chapter in chapters:
        found = deck(chapter)
        for i, slide in enumerate(found):
            if slide.figure:
                write_atomic(folder / _file(chapter, i, slide.figure), slide.figure.data)
        pages.append(write_atomic(folder / f"{chapter.name}.html", deck_html(chapter, found)))
    return pages


def deck(chapter: Material) -> list[Slide]:
    """The slides of a chapter.

    Args:
        chapter: of the course.
    """
    slides = [*_opening(chapter)]
    for section in chapter.sections:
        slides += _section(section)
    if chapter.still_wrong:
        wrong = f"<p>{inline(chapter.still_wrong)}</p>"
        slides.append(Slide("What the method still gets wrong", wrong))
    can = "".join(f"<li>{inline(objective)}</li>" for objective in chapter.objectives)
    return [*slides, Slide("You can now", f"<ul>{can}</ul>")]


def _opening(chapter: Material) -> Iterator[Slide]:
    passage = (
        f'<p class="foot">Lecture: {html.escape(chapter.passage)} '
        f'<a href="{html.escape(lecture_link(chapter.passage))}">(open)</a></p>'
    )
    lead = f"<p>{inline(chapter.lead)}</p>{passage}"
    yield Slide(f"{chapter.number} · {chapter.title}", lead, notes=f"{chapter.time}. {chapter.runs_on}.")
    can = "".join(f"<li>{inline(objective)}</li>" for objective in chapter.objectives)
    yield Slide("You will be able to", f"<ul>{can}</ul>")


def _section(section: Section) -> list[Slide]:
    """Texts open the section or comment its figures; the other parts bring their own slides."""
    slides: list[Slide] = []
    texts: list[str] = []  # since the last slide
    opened = section.title in _LEFT_OUT or section.title.startswith("Explore")
    parts = [] if section.title == "Recap" else section.parts
    for place, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
            if opened or not (quotations(part) or formulas(part)):
                continue
            slides.append(_words(section.title, texts))
        elif isinstance(part, Figure):
            after = next((p for p in parts[place + 1 :] if not isinstance(p, Figure)), "")
            slides.append(_figure(section.title, texts, part, after if isinstance(after, str) else ""))
        else:
            _told(slides, section.title, texts, opened)
            slides += _slides_of(part)
        texts, opened = [], True
    _told(slides, section.title, texts, opened)
    return slides


def _told(slides: list[Slide], title: str, texts: Sequence[str], opened: bool) -> None:
    """Texts that no figure follows: a slide that opens the section, else notes of the slide before."""
    if texts and not opened:
        slides.append(_words(title, texts))
    elif texts and slides:
        slides[-1] = replace(slides[-1], notes="\n\n".join([slides[-1].notes, *texts]))


def _figure(title: str, texts: Sequence[str], figure: Figure, after: str) -> Slide:
    sentence = _sentence("\n\n".join(texts), after)
    notes = "\n\n".join([*texts, f"*The figure:* {figure.alt}", after])
    return Slide(title, f"<p>{inline(sentence)}</p>" if sentence else "", notes=notes, figure=figure)


def _words(title: str, texts: Sequence[str]) -> Slide:
    """A slide without a figure: the lecture's words or the first sentence, and the first formula."""
    text = "\n\n".join(texts)
    said = [f"<blockquote>{inline(quoted)}</blockquote>" for quoted in quotations(text)[:1]]
    said.append(f"<p>{inline(_enough(sentences(text)))}</p>")
    said += [f"<div>{to_html(formula)}</div>" for formula in formulas(text)[:1]]
    return Slide(title, "".join(said), notes=text)


def _sentence(before: str, after: str) -> str:
    """What to look for in a figure, else what was seen in it, else what leads to it."""
    told = sentences(before)
    looking = [s for s in told if "look for" in s.lower() or "look at" in s.lower()]
    asking = [s for s in told if s.endswith("?")]
    return _enough(looking[-1:] or asking[-1:] or sentences(after) or told[-1:])


def _enough(told: Sequence[str]) -> str:
    """The first sentence, and those after it as long as all are too short to be understood alone."""
    said = ""
    for sentence in told:
        if len(said) >= _SHORT:
            break
        said = f"{said} {sentence}".strip()
    return said


def _slides_of(part: Exercise | OpenTask | Quiz) -> Iterator[Slide]:
    if isinstance(part, Quiz):
        for number, question in enumerate(part.questions, start=1):
            yield from _question(number, question)
        return
    hints = "\n\n".join(f"*Hint {i}:* {hint}" for i, hint in enumerate(part.hints, start=1))
    notes = f"Why it matters: {part.why}\n\n{hints}"
    kind = "Exercise" if isinstance(part, Exercise) else "Open task"
    stub = f"<pre><code>{html.escape(part.stub)}</code></pre>"
    task = f'{to_html(part.task)}{stub}<p class="foot">{part.minutes} minutes</p>'
    yield Slide(part.title, task, kind, notes)
    if isinstance(part, Exercise):
        said = [mistake.diagnosis for mistake in part.mistakes]
        shown = "".join(f"<li>{inline(text)}</li>" for text in said[:_SHOWN_MISTAKES])
        rest = "\n\n".join(f"- {text}" for text in said[_SHOWN_MISTAKES:])
        yield Slide(part.title, f"<ul>{shown}</ul>", "Common mistakes", f"More:\n\n{rest}" if rest else "")


def _question(number: int, question: Question) -> Iterator[Slide]:
    hint = " (several may be right)" if question.multiple else ""
    asked = f"<p>{inline(question.text)}{hint}</p>"
    options = "".join(f"<li>{inline(option.text)}</li>" for option in question.options)
    notes = "Everybody votes alone; pairs who differ talk; all vote again."
    yield Slide("", f'{asked}<ol class="options">{options}</ol>', f"Question {number}", notes)
    answers = "".join(
        f'<li><span class="{"right" if option.correct else ""}">{"✓ " if option.correct else ""}'
        f'{inline(option.text)}</span> <span class="said">{inline(option.feedback)}</span></li>'
        for option in question.options
    )
    yield Slide("", f'{asked}<ol class="options">{answers}</ol>', f"Question {number}: answer")


def deck_html(chapter: Material, slides: Sequence[Slide]) -> str:
    """The page of a deck.

    Args:
        chapter: for the title and the names of the figures.
        slides: of :func:`deck`.
    """
    sections = "\n".join(_slide_html(chapter, i, slide) for i, slide in enumerate(slides))
    title = html.escape(f"{chapter.number} · {chapter.title}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="stylesheet" href="reveal.js/reset.css">\n'
        '<link rel="stylesheet" href="reveal.js/reveal.css">\n<link rel="stylesheet" href="slides.css">\n'
        f'</head>\n<body>\n<div class="reveal"><div class="slides">\n{sections}\n</div></div>\n{_SCRIPTS}'
        "</body>\n</html>\n"
    )


_SCRIPTS = """<script src="reveal.js/reveal.js"></script>
<script src="reveal.js/notes.js"></script>
<script>
Reveal.initialize({
  width: 1280, height: 720, margin: 0, center: false, hash: true, transition: "none",
  slideNumber: "c/t", plugins: [RevealNotes],
});
// Words that are too many for a slide are set smaller until they fit.
const fit = ({ currentSlide: slide }) => {
  const body = slide.querySelector(":scope > div");
  let size = body ? parseFloat(getComputedStyle(body).fontSize) : 0;
  while (size > 12 && slide.scrollHeight > 720) body.style.fontSize = `${(size -= 1)}px`;
};
Reveal.on("ready", fit);
Reveal.on("slidechanged", fit);
window.MathJax = { options: { enableMenu: false }, svg: { fontCache: "local" } };
</script>
<script src="mathjax/tex-svg.js"></script>
"""


def _slide_html(chapter: Material, number: int, slide: Slide) -> str:
    first = number == 0
    heading = f"<h{2 - first}>{html.escape(slide.heading)}</h{2 - first}>" if slide.heading else ""
    # a slide without a heading has its kind for one
    tag = "p" if slide.heading else "h2"
    kind = f'<{tag} class="kind">{html.escape(slide.kind)}</{tag}>' if slide.kind else ""
    figure = ""
    if slide.figure:
        source, alt = _file(chapter, number, slide.figure), html.escape(slide.figure.alt)
        figure = f'<figure><img src="{source}" alt="{alt}"></figure>'
    notes = f'<aside class="notes">{to_html(slide.notes)}</aside>' if slide.notes else ""
    body = f'<div class="{_size(slide.body)}">{slide.body}</div>'
    return f"<section>{kind}{heading}{body}{figure}{notes}</section>"


def _size(body: str) -> str:
    code = sum(map(len, re.findall(r"<pre>.*?</pre>", body, re.DOTALL)))
    letters = len(re.sub(r"<[^>]+>", "", body)) - code // 2  # code is set small anyway
    return "longer" if letters > _LONGER else "long" if letters > _LONG else "words"


def _file(chapter: Material, number: int, figure: Figure) -> str:
    ending = {"svg+xml": "svg", "jpeg": "jpg"}.get(figure.kind, figure.kind)
    return f"figures/{chapter.number}-{number:02}.{ending}"


def _list(chapters: Sequence[Material]) -> str:
    lines = "\n".join(
        f'<li><a href="{c.name}.html">{c.number} · {html.escape(c.title)}</a></li>' for c in chapters
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Slides</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>body { font: 18px/1.6 system-ui, sans-serif; margin: 2em; }</style></head>\n"
        f"<body><main><h1>From Class to Pixels: slides</h1>\n<ul>\n{lines}\n</ul>\n"
        "<p>S opens the speaker view, O the overview, F the full screen.</p></main></body></html>\n"
    )
