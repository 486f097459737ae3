// Brings the widgets of a page to life when a reader comes near them; until then their still picture stands there.

import { readJson, withBytes } from "./files.js";
import { annotatorHalf } from "./annotator_half.js";
import { boxLabHalf } from "./box_lab_half.js";
import { explorerHalf } from "./explorer_half.js";
import { quizHalf } from "./quiz_half.js";
import { stopwatchHalf } from "./stopwatch_half.js";

/** What does Python's part of a widget: it fills `el`; `beside` is where the data lie, `show` draws a widget. */
const HALVES = {
  annotator: annotatorHalf, box_lab: boxLabHalf, cam_explorer: explorerHalf, quiz: quizHalf, stopwatch_lab: stopwatchHalf,
};

/** Put the style sheet and the code of a widget on the page; gives the function that draws it. */
async function codeOf(name) {
  const sheet = new URL(`widgets/${name}.css`, import.meta.url).href;
  if (!document.querySelector(`link[href="${sheet}"]`)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: sheet });
    const ready = new Promise((done) => link.addEventListener("load", done, { once: true }));
    document.head.append(link);
    await ready;
  }
  return (await import(new URL(`widgets/${name}.js`, import.meta.url).href)).default.render;
}

async function show(name, model, el) {
  const render = await codeOf(name);
  return render({ model, el });
}

async function bringToLife(frame) {
  const beside = new URL(frame.dataset.live, document.baseURI);
  const el = document.createElement("div");
  try {
    const told = await readJson(beside);
    if (told.state) told.state = await withBytes(told.state, beside);
    frame.append(el);
    await HALVES[told.widget](el, told, { beside, show });
    frame.classList.add("lk-is-live");
  } catch (error) {
    el.remove();
    console.warn(`The widget stays a picture: ${error}`);
  }
}

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    bringToLife(target);
  }
}, { rootMargin: "400px" });

for (const frame of document.querySelectorAll(".lk-live")) near.observe(frame);
