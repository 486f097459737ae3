// The bar above the annotator in the stopwatch lab: what is asked, how far one is, and the buttons.
// The kernel keeps the steps; a click goes there as a verb and comes back as new words.

const VERBS = { next: "Next", again: "Again", back: "Back" };

/** A button whose keys JupyterLab does not take for its own shortcuts. */
function button(verb, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "lk-stopwatch-button";
  made.dataset.lmSuppressShortcuts = "true";
  made.dataset.verb = verb;
  made.addEventListener("click", () => act(verb));
  return made;
}

function words(name) {
  const line = document.createElement("p");
  line.className = `lk-stopwatch-${name}`;
  line.setAttribute("aria-live", "polite");
  return line;
}

function render({ model, el }) {
  const ask = (verb) => {
    model.set("_asked", [model.get("_asked")[0] + 1, verb]);
    model.save_changes();
  };
  const lines = Object.fromEntries(["prompt", "status"].map((name) => [name, words(name)]));
  const buttons = Object.fromEntries(Object.keys(VERBS).map((verb) => [verb, button(verb, ask)]));
  const row = document.createElement("div");
  row.append(...Object.values(buttons));
  el.classList.add("lk-stopwatch");
  el.append(lines.prompt, row, lines.status);

  const refresh = () => {
    for (const name of ["prompt", "status"]) lines[name].textContent = model.get(name);
    const may = model.get("_may");
    for (const [verb, made] of Object.entries(buttons)) {
      made.textContent = verb === "next" && !may.includes("again") ? "Start" : VERBS[verb];
      made.disabled = !may.includes(verb);
    }
  };
  model.on("change", refresh);
  refresh();
  return () => model.off("change", refresh);
}

export default { render };
