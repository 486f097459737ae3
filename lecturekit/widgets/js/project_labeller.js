// The bar above the annotator of a project: which picture it is, how far one is, what to show, and the buttons.
// The kernel keeps the queue; a click or a key goes there as a verb and comes back as new words.

import { Asking } from "./asking.js";
import { element, focusable, listen } from "./dom.js";

const VERBS = { back: "Back", next: "Next", open: "Next without labels" };
const PAGES = { PageUp: "back", PageDown: "next" };

function render({ model, el }) {
  let old = null; // the canvas that had the keys when a key asked for another picture
  const asking = new Asking(model, el, () => hand());
  /** @returns {HTMLElement | null} */
  const canvas = () => asking.home.querySelector(".lka-frame canvas.lka-top");
  const ask = (verb) => asking.ask(verb);
  const lines = Object.fromEntries(["prompt", "status", "trouble"].map((name) => [name, element("p", {
    className: `lk-project-${name}`, "aria-live": "polite",
  })]));
  lines.trouble.classList.add("lk-note");
  const meter = element("progress", { max: 1, value: 0, "aria-label": "Pictures with labels" });
  const buttons = Object.entries(VERBS).map(([verb, words]) => {
    const made = focusable("button", { type: "button", "data-verb": verb }, words);
    made.addEventListener("click", () => ask(verb));
    return made;
  });
  const choices = model.get("_filters").map(([value, words]) => element("option", { value }, words));
  const filter = focusable("select", { "aria-label": "Which pictures" }, ...choices);
  filter.addEventListener("change", () => ask(`show ${filter.value}`));
  const over = focusable("input", { type: "checkbox" });
  over.addEventListener("change", () => ask(over.checked ? "answers" : "plain"));
  const answers = element("label", {}, over, " the student's answer");
  const keys = element("span", { className: "lk-project-keys" }, "Page Down, Page Up: next, back");
  el.classList.add("lk-project-bar", "lk-theme");
  el.append(lines.prompt, element("div", { className: "lk-project-buttons" }, ...buttons, filter, answers, keys),
    meter, asking.note, lines.status, lines.trouble);

  const turn = (event) => {
    const verb = PAGES[event.key];
    if (!verb || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    old ??= canvas();
    ask(verb);
  };
  /** After a page turned by key the new picture has the keys. */
  const hand = () => {
    if (old?.isConnected === false) canvas()?.focus({ preventScroll: true });
    old = null;
  };
  let listening = null;
  const listenAtHome = setInterval(() => { // the box round the bar comes into the page after the bar
    if (!el.isConnected) return;
    clearInterval(listenAtHome);
    listening = asking.home;
    listening.addEventListener("keydown", turn);
  }, 20);

  const refresh = () => {
    for (const name of Object.keys(lines)) lines[name].textContent = model.get(name);
    lines.trouble.hidden = !model.get("trouble");
    const may = model.get("_may");
    for (const made of buttons) made.disabled = !may.includes(made.dataset.verb);
    answers.hidden = !may.includes("answers");
    over.checked = model.get("_over");
    filter.value = model.get("_filter");
    meter.value = model.get("_done");
  };
  refresh();
  const names = ["prompt", "status", "trouble", "_may", "_over", "_filter", "_done"];
  const unlisten = listen(model, Object.fromEntries(names.map((name) => [`change:${name}`, refresh])));
  return () => {
    unlisten();
    asking.end();
    clearInterval(listenAtHome);
    listening?.removeEventListener("keydown", turn);
  };
}

export default { render };
