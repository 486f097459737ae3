// The page: a photograph comes in, a worker explains it, the CAM explorer shows the answer.

import { render } from "../../lecturekit/widgets/js/cam_explorer.js";
import { chance } from "../../lecturekit/widgets/js/cam_data.js";
import { element } from "../../lecturekit/widgets/js/dom.js";
import { ranking, softmax } from "../../lecturekit/widgets/js/maps.js";
import { forget, isStored, load, missing } from "./download.js";
import { explorerModel, keptState, logitsOf, storedExample } from "./maps.js";

/** @typedef {import("./maps.js").Explained} Explained */

const SIZES = [224, 448];
const FIRST = 5; // classes named above the explorer

const part = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

const words = (/** @type {unknown} */ error) => (error instanceof Error ? error.message : String(error));

/** The network in its worker: off, loading, ready, or at work on a photograph. */
class Network {
  constructor(page) {
    this.page = page;
    this.worker = null;
    this.stopping = new AbortController();
  }

  async start() {
    const { files } = this.page.course;
    this.stopping = new AbortController();
    const { signal } = this.stopping;
    const [runtime, wasm, network] = await load(files, (share) => this.page.progress(share), signal);
    this.page.progress(null); // the bar moves without a number while the file is unpacked
    signal.throwIfAborted();
    this.worker = new Worker(URL.createObjectURL(this.page.workerCode), { type: "module" });
    try {
      await this.ask({ kind: "start", runtime, wasm, network }, (answer) => answer.kind === "ready");
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Send a question; `take` is given each answer and says whether it was the last. */
  ask(question, take) {
    const { worker, stopping: { signal } } = this;
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      worker.onerror = (event) => reject(new Error(event.message || "The network could not be started."));
      worker.onmessage = ({ data }) => {
        if (data.kind === "failed") reject(new Error(data.why));
        else if (take(data)) resolve(null);
      };
      worker.postMessage(question);
    });
  }

  explain(file, take) {
    let left = SIZES.length;
    return this.ask({ kind: "explain", file, sizes: SIZES }, (answer) => {
      take(answer);
      return --left === 0;
    });
  }

  /** End whatever goes on. The worker cannot be interrupted, only ended; the next photograph starts another. */
  stop() {
    this.stopping.abort(new DOMException("stopped", "AbortError"));
    this.worker?.terminate();
    this.worker = null;
  }
}

class Page {
  constructor(course, workerCode) {
    this.course = course;
    this.workerCode = workerCode;
    this.network = new Network(this);
    this.busy = false;
    /** @type {File | Blob | null} */
    this.waiting = null; // a photograph that came before the network, or while another was explained
    /** @type {Map<number, Explained>} */
    this.views = new Map();
    this.size = SIZES[0];
    this.model = null;
    this.unmount = () => {};
    this.listen();
  }

  async begin() {
    part("camera-button").hidden = !navigator.maxTouchPoints; // elsewhere it would only open the files
    const lacks = missing();
    if (lacks.length) {
      part("unable").hidden = false;
      part("unable-what").textContent = lacks.join(", ");
      part("own").hidden = true;
    } else if (await isStored(this.course.files)) {
      part("start").textContent = "Start the network (stored in this browser)";
      part("forget").hidden = false;
    }
    document.documentElement.dataset.ready = "true";
  }

  say(text) {
    part("status").textContent = text;
  }

  /** A share of the bar, null for one that only moves, undefined for none. */
  progress(share) {
    part("bar").hidden = share === undefined;
    if (typeof share === "number") part("bar").value = share;
    else part("bar").removeAttribute("value");
  }

  /** Do something that takes time, with a bar and a stop; faults are told in words. */
  async work(task) {
    this.busy = true;
    part("stop").hidden = false;
    part("start").disabled = true;
    try {
      await task();
    } catch (error) {
      this.say(error instanceof DOMException && error.name === "AbortError" ? "Stopped." : `That did not work: ${words(error)}`);
    }
    this.busy = false;
    part("stop").hidden = true;
    part("start").disabled = false;
    this.progress(undefined);
  }

  async start() {
    this.say("Loading the network …");
    this.progress(0);
    await this.network.start();
    part("start").hidden = true;
    part("forget").hidden = false;
    this.say("The network is ready. From here on nothing is loaded and nothing is sent.");
  }

  /** Explain the photograph that waits, and whatever has come meanwhile. */
  async explainWaiting() {
    while (this.waiting) {
      const file = this.waiting;
      this.waiting = null;
      if (!this.network.worker) await this.start();
      this.say("Looking at your photograph …");
      this.progress(null);
      const views = new Map();
      await this.network.explain(file, (explained) => {
        views.set(explained.size, explained);
        if (views.size === 1) this.show(views, "Your photograph");
        part(`size-${explained.size}`).disabled = false;
      });
      this.say("Done. The answer stands below.");
    }
  }

  take(/** @type {File | Blob | undefined} */ file) {
    if (!file || part("own").hidden) return;
    this.waiting = file;
    if (this.busy) return;
    if (this.network.worker || part("forget").hidden === false) this.work(() => this.explainWaiting());
    else this.say(`${file instanceof File ? file.name : "The picture"} waits. Now press “${part("start").textContent}”.`);
  }

  /** Show a picture at the size that is chosen, its most likely class first. */
  show(views, title) {
    this.views = views;
    this.size = views.has(this.size) ? this.size : SIZES[0];
    for (const size of SIZES) {
      part(`size-${size}`).disabled = !views.has(size);
      part(`size-${size}`).checked = size === this.size;
    }
    part("result-title").textContent = title;
    part("result").hidden = false;
    this.mount({ class_index: this.order()[0] });
    part("result").scrollIntoView();
  }

  get shown() {
    return this.views.get(this.size);
  }

  order() {
    return ranking(logitsOf(this.shown, this.course.bias));
  }

  /** The first classes in one sentence. */
  sentence() {
    const likely = softmax(logitsOf(this.shown, this.course.bias));
    const named = this.order().slice(0, FIRST).map((k) => `${this.course.categories[k]} ${chance(likely[k])}`);
    return `The network’s first five: ${named.join(", ")}.`;
  }

  mount(state) {
    this.unmount();
    const el = element("div");
    part("explorer").replaceChildren(el);
    this.model = explorerModel(this.shown, this.course, state);
    this.unmount = render({ model: this.model, el });
    part("first").textContent = this.sentence();
  }

  async showExample(example) {
    const views = new Map();
    for (const stored of example.views) {
      const picture = Object.assign(new Image(), { src: stored.picture });
      const [answer] = await Promise.all([fetch(stored.maps), picture.decode()]);
      const buffer = await answer.arrayBuffer();
      views.set(stored.size, storedExample(buffer, stored, picture, this.course.categories.length));
    }
    this.show(views, example.title);
    this.say("The example stands below.");
  }

  listen() {
    const click = (id, action) => part(id).addEventListener("click", action);
    click("start", () => this.work(async () => {
      await this.start();
      await this.explainWaiting();
    }));
    click("stop", () => {
      this.waiting = null;
      this.network.stop();
      part("start").hidden = false;
      part("start").textContent = "Start the network again";
    });
    click("forget", async () => {
      await forget();
      part("forget").hidden = true;
      this.say("The network is no longer stored in this browser.");
    });
    for (const name of ["file", "camera"]) {
      click(`${name}-button`, () => part(name).click());
      part(name).addEventListener("change", () => {
        this.take(part(name).files[0]);
        part(name).value = ""; // so that the same photograph can be chosen again
      });
    }
    for (const size of SIZES)
      part(`size-${size}`).addEventListener("change", () => {
        this.size = size;
        this.mount(keptState(this.model, size));
      });
    for (const example of this.course.examples)
      click(`example-${example.name}`, () => this.showExample(example).catch((error) => this.say(words(error))));
    this.listenToDrops();
  }

  listenToDrops() {
    const { body } = document;
    const over = (on) => body.classList.toggle("over", on);
    body.addEventListener("dragover", (event) => {
      event.preventDefault(); // or the browser would leave the page for the picture
      over(true);
    });
    body.addEventListener("dragleave", (event) => over(event.relatedTarget !== null));
    body.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      this.take(event.dataTransfer.files[0]);
    });
    body.addEventListener("paste", (event) => this.take(event.clipboardData.files[0]));
  }
}

const [course, workerCode] = await Promise.all([
  fetch("course.json").then((answer) => answer.json()),
  fetch("worker.js").then((answer) => answer.blob()),
]);
const code = new Blob([workerCode], { type: "text/javascript" });
await new Page(course, code).begin();
