"""Quizzes written for learning platforms, read back: the questions, what is right, what is said."""

import io
import re
import zipfile

import pytest
from defusedxml import ElementTree as ET

from lecturekit.exercises import modules
from lecturekit.exercises._render import inline_html
from lecturekit.exercises.quiz import Option, Question, Quiz, quizzes_in
from lecturekit.publish import quiz_files

QTI = "{http://www.imsglobal.org/xsd/imsqti_v2p1}"
CP = "{http://www.imsglobal.org/xsd/imscp_v1p1}"

AWKWARD = Question(
    "What is `{a: 1}` ~ #2 = <b> & \\ at 50 %?",
    [
        Option("`x == {1}`", True, "Yes: a = b # c"),
        Option("~ 3 < 4 & 5", True, "Also } right {"),
        Option("http://a:b", False, "No\\no"),
    ],
    multiple=True,
)
ALL = quiz_files.numbered([q for m in modules() for q in quizzes_in(m)] + [Quiz("awkward", [AWKWARD])])


def unescaped(text: str) -> str:
    return re.sub(r"\\([\\~=#{}:])", r"\1", text)


def read_gift(text: str) -> dict[str, list[tuple[str, float, str]]]:
    """A reader of its own: name and text -> answer, share, feedback."""
    blocks = re.findall(r"^::((?:\\.|[^:\\])+)::\[html\](.*?)(?<!\\)\{\n(.*?)^\}", text, re.M | re.S)
    found = {}
    for name, question, body in blocks:
        answers = []
        for line in body.strip().splitlines():
            sign, share, rest = re.fullmatch(r"\s*([=~])(?:%(-?[\d.]+)%)?(.*)", line).groups()
            answer, feedback = re.split(r"(?<!\\)(?:\\\\)*#", rest, maxsplit=1)
            weight = float(share) if share else 100.0 * (sign == "=")
            answers.append((unescaped(answer), weight, unescaped(feedback)))
        found[unescaped(name), unescaped(question)] = answers
    return found


def read_moodle(data: bytes) -> dict[str, list[tuple[str, float, str]]]:
    found = {}
    for node in ET.fromstring(data).findall("question[@type='multichoice']"):
        name, text = node.findtext("name/text"), node.findtext("questiontext/text")
        found[name, text] = [
            (a.findtext("text"), float(a.get("fraction")), a.findtext("feedback/text"))
            for a in node.findall("answer")
        ]
    return found


def wanted() -> dict:
    return {
        (name, inline_html(q.text)): [
            (inline_html(o.text), pytest.approx(w, abs=1e-2), inline_html(o.feedback))
            for o, w in zip(q.options, quiz_files.weights(q), strict=True)
        ]
        for name, q in ALL.items()
    }


def test_gift_is_read_back():
    text = quiz_files.gift(ALL, "Course/Chapter: 1")
    assert text.startswith("$CATEGORY: Course/Chapter\\: 1\n")
    assert read_gift(text) == wanted()


def test_moodle_xml_is_read_back():
    data = quiz_files.moodle_xml(ALL, "Course/Chapter")
    assert read_moodle(data) == wanted()
    root = ET.fromstring(data)
    assert root.findtext("question[@type='category']/category/text") == "$course$/Course/Chapter"
    single = [node.findtext("single") for node in root.findall("question[@type='multichoice']")]
    assert single == [str(not q.multiple).lower() for q in ALL.values()]


def test_weights_add_up():
    for question in ALL.values():
        shares = quiz_files.weights(question)
        assert sum(w for w in shares if w > 0) == pytest.approx(100)
        if question.multiple and not all(o.correct for o in question.options):
            assert sum(shares) == pytest.approx(0)


@pytest.fixture(scope="module")
def package():
    with zipfile.ZipFile(io.BytesIO(quiz_files.qti(ALL, "All"))) as archive:
        assert archive.testzip() is None
        return {name: ET.fromstring(archive.read(name)) for name in archive.namelist()}


def test_qti_manifest_names_every_file_once(package):
    manifest = package["imsmanifest.xml"]
    assert [child.tag for child in manifest] == [f"{CP}metadata", f"{CP}organizations", f"{CP}resources"]
    resources = manifest.findall(f"{CP}resources/{CP}resource")
    assert sorted(r.get("href") for r in resources) == sorted(set(package) - {"imsmanifest.xml"})
    assert {r.find(f"{CP}file").get("href") for r in resources} == {r.get("href") for r in resources}
    ids = [r.get("identifier") for r in resources]
    assert len(set(ids)) == len(ids)
    named = [d.get("identifierref") for d in manifest.iter(f"{CP}dependency")]
    assert set(named) == set(ids) - {"r-test"}
    kinds = {r.get("type") for r in resources}
    assert kinds == {"imsqti_test_xmlv2p1", "imsqti_item_xmlv2p1"}


def test_qti_test_refers_to_every_item(package):
    test = package["test.xml"]
    assert test.tag == f"{QTI}assessmentTest"
    refs = list(test.iter(f"{QTI}assessmentItemRef"))
    assert {ref.get("href") for ref in refs} == set(package) - {"imsmanifest.xml", "test.xml"}
    part = test.find(f"{QTI}testPart")
    assert part.get("navigationMode") in ("linear", "nonlinear")
    assert part.get("submissionMode") in ("individual", "simultaneous")


#: Children of an item in the order that the schema of QTI 2.1 demands.
ORDER = ["responseDeclaration", "outcomeDeclaration", "itemBody", "responseProcessing"]


@pytest.mark.parametrize("name", ALL)
def test_qti_item_is_read_back_and_has_the_structure(package, name):
    item, question = package[f"{name}.xml"], ALL[name]
    assert item.tag == f"{QTI}assessmentItem"
    assert {"identifier", "title", "adaptive", "timeDependent"} <= set(item.keys())
    assert re.fullmatch(r"[A-Za-z_][\w.-]*", item.get("identifier"))
    places = [ORDER.index(child.tag.removeprefix(QTI)) for child in item]
    assert places == sorted(places)
    response = item.find(f"{QTI}responseDeclaration")
    choice = item.find(f"{QTI}itemBody/{QTI}choiceInteraction")
    assert choice.get("responseIdentifier") == response.get("identifier") == "RESPONSE"
    assert response.get("cardinality") == ("multiple" if question.multiple else "single")
    assert choice.get("maxChoices") == ("0" if question.multiple else "1")
    shown = {c.get("identifier"): c for c in choice.findall(f"{QTI}simpleChoice")}
    right = {v.text for v in response.findall(f"{QTI}correctResponse/{QTI}value")}
    assert [key in right for key in shown] == [o.correct for o in question.options]
    mapped = {e.get("mapKey"): float(e.get("mappedValue")) for e in response.iter(f"{QTI}mapEntry")}
    assert list(mapped.values()) == pytest.approx([w / 100 for w in quiz_files.weights(question)], abs=1e-5)
    outcomes = {o.get("identifier") for o in item.findall(f"{QTI}outcomeDeclaration")}
    assert outcomes == {"SCORE", "FEEDBACK"}
    assert words(choice.find(f"{QTI}prompt")) == plain(question.text)
    for option, (key, node) in zip(question.options, shown.items(), strict=True):
        said = node.find(f"{QTI}feedbackInline")
        assert (said.get("outcomeIdentifier"), said.get("identifier")) == ("FEEDBACK", key)
        assert words(said) == plain(option.feedback)
        node.remove(said)
        assert words(node) == plain(option.text)
    assert {n.get("identifier") for n in item.iter(f"{QTI}setOutcomeValue")} == outcomes


def words(node) -> str:
    return plain("".join(node.itertext()))


def plain(text: str) -> str:
    """Without the marks of code and emphasis (and without a star that means "times")."""
    return " ".join(re.sub(r"[`*]", "", text).split())


def test_the_same_questions_give_the_same_bytes():
    assert quiz_files.qti(ALL, "All") == quiz_files.qti(ALL, "All")
