// What Python does for the box lab: a picture for each state. Here the pictures were drawn when the notebook ran.

import { readBytes } from "./files.js";
import { Model } from "./model.js";

/** The stored state nearest to what is asked for: where there is none, what just changed, and the rest as at first. */
function stored(drawn, first, before, values) {
  if (keyOf(values) in drawn) return values;
  const changed = Object.entries(values).filter(([name, value]) => value !== before[name]);
  return { ...first, ...Object.fromEntries(changed) };
}

export async function boxLabHalf(el, { state, drawn, note }, { beside, show }) {
  const read = ({ file }) => readBytes(new URL(file, beside));
  const initial = { ...state.values };
  let shown = initial;
  const first = drawn[keyOf(initial)];
  const answer = async (model) => {
    const asked = model.get("_asked");
    shown = stored(drawn, initial, shown, model.get("values"));
    const found = drawn[keyOf(shown)] ?? first;
    model.put({ values: shown });
    try {
      const picture = await read(found);
      if (asked === model.get("_asked")) model.put({ _picture: picture, words: found.words, _trouble: "" });
    } catch (error) {
      model.put({ _trouble: `The picture did not arrive: ${error}` });
    }
    model.put({ _answered: asked });
  };
  const whole = { ...state, _picture: await read(first), words: first.words };
  const hear = (changes, model) => {
    if ("_asked" in changes) answer(model);
  };
  await show("box_lab", new Model(whole, hear), el);
  const words = Object.assign(document.createElement("p"), { className: "lk-hint", textContent: note });
  el.querySelector(".lk-side")?.append(words);
}

/** The name of a state: its values in the order of the controls, numbers without the dust of adding steps. */
const keyOf = (values) => Object.values(values).map((v) => (typeof v === "number" ? Number(v.toFixed(6)) : v)).join("|");
