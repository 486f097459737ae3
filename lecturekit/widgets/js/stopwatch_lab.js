// The bar above the annotator in the stopwatch lab: what is asked, how far one is, and the buttons.
// The kernel keeps the steps; a click goes there as a verb and comes back as new words.

import { Asking } from "./asking.js";
import { element, focusable, listen } from "./dom.js";

const VERBS = { next: "Next", again: "Again", back: "Back" };

function render({ model, el }) {
  const asking = new Asking(model, el);
  const lines = Object.fromEntries(["prompt", "status"].map((name) => [name, element("p", {
    className: `lk-stopwatch-${name}`, "aria-live": "polite",
  })]));
  const buttons = Object.keys(VERBS).map((verb) => {
    const made = focusable("button", { type: "button", "data-verb": verb });
    made.addEventListener("click", () => asking.ask(verb));
    return made;
  });
  el.classList.add("lk-stopwatch", "lk-theme");
  el.append(lines.prompt, element("div", { className: "lk-stopwatch-buttons" }, ...buttons), asking.note, lines.status);

  const refresh = () => {
    for (const name of ["prompt", "status"]) lines[name].textContent = model.get(name);
    const may = model.get("_may");
    for (const made of buttons) {
      const { verb } = made.dataset;
      made.textContent = verb === "next" && !may.includes("again") ? "Start" : VERBS[verb];
      made.disabled = !may.includes(verb);
    }
  };
  refresh();
  const unlisten = listen(model, { "change:prompt": refresh, "change:status": refresh, "change:_may": refresh });
  return () => {
    unlisten();
    asking.end();
  };
}

export default { render };
