"""Quizzes as files that learning platforms import: Moodle's GIFT and XML, and QTI 2.1.

Every option keeps its feedback. Texts may hold `code` between backticks and *emphasis*, as in the course.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Mapping, Sequence

from ..exercises._render import inline_html, pieces
from ..exercises.quiz import Question, Quiz

_QTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
_CP = "http://www.imsglobal.org/xsd/imscp_v1p1"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMAS = {
    _QTI: "http://www.imsglobal.org/xsd/qti/qtiv2p1/imsqti_v2p1.xsd",
    _CP: "http://www.imsglobal.org/xsd/qti/qtiv2p1/qtiv2p1_imscpv1p2_v1p0.xsd",
}

#: Questions by a name that tells them apart, such as ``"after_cam-1"``.
Questions = Mapping[str, Question]


def numbered(quizzes: Sequence[Quiz]) -> dict[str, Question]:
    """The questions of some quizzes under the quiz's name and their number, counted from 1.

    Args:
        quizzes: in the order of the chapter.
    """
    return {f"{quiz.name}-{i}": q for quiz in quizzes for i, q in enumerate(quiz.questions, start=1)}


def weights(question: Question) -> list[float]:
    """What choosing each option is worth, in percent.

    Args:
        question: with one right option or several. Several right ones share 100, wrong ones share -100, so
            that choosing all is worth nothing.
    """
    right = sum(option.correct for option in question.options)
    wrong = len(question.options) - right
    loss = -100 / wrong if question.multiple and wrong else 0.0
    return [100 / right if option.correct else loss for option in question.options]


def gift(questions: Questions, category: str) -> str:
    """Moodle's GIFT format.

    Args:
        questions: by name.
        category: folder in the question bank.
    """
    blocks = [f"$CATEGORY: {_gift_text(category)}"]
    for name, question in questions.items():
        lines = [f"::{_gift_text(name)}::[html]{_gift_html(question.text)}{{"]
        for option, weight in zip(question.options, weights(question), strict=True):
            sign = "=" if option.correct and not question.multiple else "~"
            share = f"%{weight:.5g}%" if question.multiple else ""
            lines.append(f"  {sign}{share}{_gift_html(option.text)}#{_gift_html(option.feedback)}")
        blocks.append("\n".join([*lines, "}"]))
    return "\n\n".join(blocks) + "\n"


def _gift_html(text: str) -> str:
    return _gift_text(inline_html(text))


def _gift_text(text: str) -> str:
    """Escaped where GIFT has a meaning of its own for a character."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", text)


def moodle_xml(questions: Questions, category: str) -> bytes:
    """Moodle's XML format.

    Args:
        questions: by name.
        category: folder in the question bank.
    """
    quiz = ET.Element("quiz")
    folder = ET.SubElement(ET.SubElement(quiz, "question", type="category"), "category")
    ET.SubElement(folder, "text").text = f"$course$/{category}"
    for name, question in questions.items():
        node = ET.SubElement(quiz, "question", type="multichoice")
        ET.SubElement(ET.SubElement(node, "name"), "text").text = name
        _moodle_text(node, "questiontext", question.text)
        for tag, value in (("defaultgrade", "1"), ("single", str(not question.multiple).lower())):
            ET.SubElement(node, tag).text = value
        ET.SubElement(node, "shuffleanswers").text = "true"
        ET.SubElement(node, "answernumbering").text = "abc"
        for option, weight in zip(question.options, weights(question), strict=True):
            answer = _moodle_text(node, "answer", option.text, fraction=f"{weight:.7g}")
            _moodle_text(answer, "feedback", option.feedback)
    return _xml(quiz)


def _moodle_text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    node = ET.SubElement(parent, tag, {**attributes, "format": "html"})
    ET.SubElement(node, "text").text = inline_html(text)
    return node


def qti(questions: Questions, title: str) -> bytes:
    """A QTI 2.1 content package: a zip of one item a question, a test of them all, and the manifest.

    Args:
        questions: by name; the names become identifiers.
        title: of the test.
    """
    items = {f"{_identifier(name)}.xml": _item(name, question) for name, question in questions.items()}
    files = {"imsmanifest.xml": _manifest(list(items)), "test.xml": _test(list(items), title), **items}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            # a fixed date: the same questions give the same bytes
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _identifier(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name if re.match(r"[A-Za-z_]", name) else f"q{name}")


def _root(tag: str, namespace: str, **attributes: str) -> ET.Element:
    location = {f"{{{_XSI}}}schemaLocation": f"{namespace} {_SCHEMAS[namespace]}"}
    return ET.Element(f"{{{namespace}}}{tag}", {**attributes, **location})


def _item(name: str, question: Question) -> bytes:
    """One question: what is right, what it is worth, what is shown, what is said to each option."""
    item = _root("assessmentItem", _QTI, **_about(name, question.text[:100]))
    ids = [f"option{letter}" for letter, _ in zip("ABCDEFGH", question.options, strict=False)]
    shares = weights(question)
    many = "multiple" if question.multiple else "single"
    response = _sub(
        item, "responseDeclaration", identifier="RESPONSE", cardinality=many, baseType="identifier"
    )
    correct = _sub(response, "correctResponse")
    for key, option in zip(ids, question.options, strict=True):
        if option.correct:
            _sub(correct, "value").text = key
    mapping = _sub(response, "mapping", lowerBound="0", upperBound="1", defaultValue="0")
    for key, share in zip(ids, shares, strict=True):
        _sub(mapping, "mapEntry", mapKey=key, mappedValue=f"{share / 100:.6g}")
    score = _sub(item, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    _sub(_sub(score, "defaultValue"), "value").text = "0"
    _sub(item, "outcomeDeclaration", identifier="FEEDBACK", cardinality=many, baseType="identifier")
    body = _sub(item, "itemBody")
    most = "0" if question.multiple else "1"  # 0: as many as one likes
    choice = _sub(body, "choiceInteraction", responseIdentifier="RESPONSE", shuffle="true", maxChoices=most)
    _mixed(_sub(choice, "prompt"), question.text)
    for key, option in zip(ids, question.options, strict=True):
        shown = _sub(choice, "simpleChoice", identifier=key)
        _mixed(shown, option.text)
        said = _sub(shown, "feedbackInline", outcomeIdentifier="FEEDBACK", identifier=key, showHide="show")
        _mixed(said, option.feedback)
    _processing(item)
    return _xml(item)


def _about(name: str, title: str) -> dict[str, str]:
    return {"identifier": _identifier(name), "title": title, "adaptive": "false", "timeDependent": "false"}


def _processing(item: ET.Element) -> None:
    """SCORE from the mapping, FEEDBACK from what was chosen."""
    processing = _sub(item, "responseProcessing")
    score = _sub(processing, "setOutcomeValue", identifier="SCORE")
    _sub(score, "mapResponse", identifier="RESPONSE")
    feedback = _sub(processing, "setOutcomeValue", identifier="FEEDBACK")
    _sub(feedback, "variable", identifier="RESPONSE")


def _mixed(node: ET.Element, text: str) -> None:
    """Text with ``code`` and ``em`` elements for what is marked so."""
    last = None
    for tag, part in pieces(text):
        if tag:
            last = _sub(node, tag)
            last.text = part
        elif last is None:
            node.text = part
        else:
            last.tail = part


def _test(items: Sequence[str], title: str) -> bytes:
    test = _root("assessmentTest", _QTI, identifier="test", title=title)
    part = _sub(test, "testPart", identifier="part", navigationMode="nonlinear", submissionMode="individual")
    section = _sub(part, "assessmentSection", identifier="section", title=title, visible="true")
    for item in items:
        _sub(section, "assessmentItemRef", identifier=item.removesuffix(".xml"), href=item)
    return _xml(test)


def _manifest(items: Sequence[str]) -> bytes:
    manifest = _root("manifest", _CP, identifier="manifest")
    about = _sub(manifest, "metadata", _CP)
    _sub(about, "schema", _CP).text = "QTIv2.1 Package"
    _sub(about, "schemaversion", _CP).text = "1.0.0"
    _sub(manifest, "organizations", _CP)
    resources = _sub(manifest, "resources", _CP)
    kinds = [("test.xml", "imsqti_test_xmlv2p1"), *[(item, "imsqti_item_xmlv2p1") for item in items]]
    for href, kind in kinds:
        key = f"r-{href.removesuffix('.xml')}"
        resource = _sub(resources, "resource", _CP, identifier=key, type=kind, href=href)
        _sub(resource, "file", _CP, href=href)
        if href == "test.xml":
            for item in items:
                _sub(resource, "dependency", _CP, identifierref=f"r-{item.removesuffix('.xml')}")
    return _xml(manifest)


def _sub(parent: ET.Element, tag: str, namespace: str = _QTI, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{namespace}}}{tag}", attributes)


def _xml(root: ET.Element) -> bytes:
    prefix = root.tag.partition("}")[0].lstrip("{") if root.tag.startswith("{") else ""
    if prefix:
        ET.register_namespace("", prefix)
        ET.register_namespace("xsi", _XSI)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
