// The browser's half of a quiz: it shows questions, sends choices to the kernel and shows the marks it gets back.

import { element, focusable, listen } from "../widgets/js/dom.js";

let counter = 0; // radio buttons of one question share a name, which no other question on the page may have

/** Between asterisks that hug their words, as in Python (_render.py). */
const EMPHASIS = /(?<![\w*])\*([^\s*](?:[^*]*[^\s*])?)\*(?!\*)/;

/** Text with `code` and *emphasis*, as nodes (never as HTML, so nothing else in a text is markup). */
function textNodes(text) {
  return text
    .split(/`([^`\n]+)`/)
    .flatMap((part, i) => (i % 2 === 0 ? emphasised(part) : [element("code", {}, part)]));
}

function emphasised(text) {
  return text.split(EMPHASIS).map((part, i) => (i % 2 === 0 ? part : element("em", {}, part)));
}

function renderOption(question, text, group) {
  const input = focusable("input", { type: question.multiple ? "checkbox" : "radio", name: group });
  return { input, label: element("label", {}, input, ...textNodes(text)) };
}

function renderQuestion(model, question, index) {
  const group = `lk-quiz-${counter++}`;
  const options = question.options.map((text) => renderOption(question, text, group));
  const button = focusable("button", { type: "button", "aria-label": `Check question ${index + 1}` }, "Check");
  // A live region: screen readers speak what appears in it.
  const feedback = element("div", { className: "lk-feedback", role: "status" });
  button.addEventListener("click", () => {
    const picked = options.flatMap(({ input }, i) => (input.checked ? [i] : []));
    const chosen = [...model.get("chosen")]; // a new list, or the change would not be seen
    if (String(chosen[index]) === String(picked) && model.get("marks")[index]) {
      return showMark(model.get("marks")[index], question, feedback); // no change would come back
    }
    chosen[index] = picked;
    model.set("chosen", chosen);
    model.save_changes();
  });
  const several = question.multiple ? [" (several may be right)"] : [];
  const legend = element("legend", {}, `Question ${index + 1}. `, ...textNodes(question.text), ...several);
  const fieldset = element("fieldset", {}, legend, ...options.map(({ label }) => label), button, feedback);
  return { fieldset, feedback };
}

function showMark(mark, question, feedback) {
  feedback.replaceChildren();
  if (!mark) return;
  feedback.append(element("p", {}, element("strong", {}, mark.summary)));
  for (const [option, text] of mark.feedback) {
    const quoted = mark.feedback.length > 1 ? [...textNodes(question.options[option]), ": "] : [];
    feedback.append(element("p", {}, ...quoted, ...textNodes(text)));
  }
}

function render({ model, el }) {
  const questions = model.get("questions");
  const shown = questions.map((question, i) => renderQuestion(model, question, i));
  const update = () =>
    shown.forEach(({ feedback }, i) => showMark(model.get("marks")[i], questions[i], feedback));
  update();
  el.classList.add("lk-quiz", "lk-theme");
  el.append(...shown.map(({ fieldset }) => fieldset));
  return listen(model, { "change:marks": update });
}

export default { render };
