// What Python does for the annotator: it keeps the labels, here in the browser, and gives them out as a file.

import { element, focusable } from "../../lecturekit/widgets/js/dom.js";
import { merge } from "../../lecturekit/widgets/js/labels.js";
import { offer } from "./files.js";
import { Model } from "./model.js";

const NOT_KEPT = "This browser keeps nothing for this page; your labels last until you leave it.";

/** Records of labels, in the browser's storage under one name; several tabs add to each other's. */
export class Shelf {
  constructor(place) {
    this.name = `lecturekit-site-${place}`;
    this.records = this.read();
    this.kept = true;
  }

  read() {
    try {
      return JSON.parse(localStorage.getItem(this.name) ?? "[]");
    } catch {
      return [];
    }
  }

  /** Add records to what is there; gives all of them. */
  add(records) {
    this.records = merge(this.read(), this.records, records.filter(({ edit }) => edit >= 1));
    try {
      localStorage.setItem(this.name, JSON.stringify(this.records));
      this.kept = true;
    } catch {
      this.kept = false;
    }
    return this.records;
  }

  get labels() {
    return this.records.map(({ label }) => label).filter(Boolean);
  }
}

/** A model of an annotator whose labels are kept; `heard` is told of the labels after each change. */
export function annotatorModel(state, place, heard = (_labels) => {}) {
  const shelf = new Shelf(place);
  const savedOf = (records) => Object.fromEntries(records.map(({ id, edit, by }) => [id, [edit, by]]));
  const tell = (model) => {
    model.put({ _saved: savedOf(shelf.records), _note: shelf.kept ? "" : NOT_KEPT });
    model.put({ _records: shelf.records });
    heard(shelf.labels);
  };
  const hear = (changes, model) => {
    if (!("_records" in changes)) return;
    shelf.add(changes._records);
    tell(model);
  };
  const model = new Model(
    { ...state, _place: place, _records: shelf.records, _saved: savedOf(shelf.records) }, hear);
  const elsewhere = ({ key }) => {
    if (key !== shelf.name) return;
    shelf.add([]);
    tell(model);
  };
  addEventListener("storage", elsewhere);
  return { model, shelf, end: () => removeEventListener("storage", elsewhere) };
}

/** The file as `lecturekit.widgets._label_file` reads it. */
export const labelFile = (about, records) => ({ version: 1, ...about, records });

export async function annotatorHalf(el, { state, file, place }, { show }) {
  const { name, ...about } = file;
  const { model, shelf } = annotatorModel(state, place);
  const drawn = element("div");
  const save = focusable("button", { type: "button", className: "lk-save" }, "Save the labels as a file");
  save.addEventListener("click", () => offer(name, labelFile(about, shelf.records)));
  const words = "Your labels stay in this browser. The file goes into data/annotations of the course, "
    + "where the notebook finds them.";
  el.append(drawn, element("div", { className: "lk-theme lk-below" }, save, " ", element("span", {}, words)));
  await show("annotator", model, drawn);
}
