// The labels of one view: records that tell the labels of several tabs apart and never lose one, and the clock.

/** @typedef {{id: string, edit: number, by: string, label: import("./geometry.js").Label | null}} LabelRecord */

/** Of two records of one label, whether the first counts (as label_file.py says it). */
const outranks = (a, b) => (a.edit !== b.edit ? a.edit > b.edit : a.by > b.by);

/** Of every label the record that counts, in the order in which the labels first appear. */
export function merge(...lists) {
  const newest = new Map();
  for (const record of lists.flat()) {
    const known = newest.get(record.id);
    if (!known || outranks(record, known)) newest.set(record.id, record);
  }
  return [...newest.values()];
}

export const randomName = (first) =>
  first + Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");

/** The labels of this view: what the kernel and other tabs know of them, what is not saved yet, and history. */
export class Labels {
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.by = randomName("v");
    this.place = `lecturekit-annotator-${model.get("_place")}-`;
    const left = this.adopt();
    this.waiting = new Map(left.map((record) => [record.id, record]));
    this.records = merge(model.get("_records"), left);
    this.past = [];
    this.future = [];
    this.settle();
    if (this.waiting.size) this.send();
  }

  get list() {
    return this.records.map(({ label }) => label).filter(Boolean);
  }

  get(id) {
    return this.records.find((record) => record.id === id)?.label ?? null;
  }

  /** Make edits [id, label or null], which Undo takes back together. */
  edit(pairs) {
    this.past.push(pairs.map(([id, label]) => [id, this.get(id), label]));
    this.future = [];
    this.apply(pairs);
  }

  undo() {
    const step = this.past.pop();
    if (!step) return false;
    this.future.push(step);
    this.apply(step.map(([id, before]) => [id, before]));
    return true;
  }

  redo() {
    const step = this.future.pop();
    if (!step) return false;
    this.past.push(step);
    this.apply(step.map(([id, , after]) => [id, after]));
    return true;
  }

  apply(pairs) {
    const edit = 1 + this.records.reduce((most, record) => Math.max(most, record.edit), 0);
    const edits = pairs.map(([id, label]) => ({ id, edit, by: this.by, label }));
    for (const record of edits) this.waiting.set(record.id, record);
    this.records = merge(this.records, edits);
    this.keepWaiting();
    this.send();
    this.changed();
  }

  send() {
    this.model.set("_records", [...this.records]);
    try {
      this.model.save_changes();
    } catch { /* the kernel has gone; what waits is sent by the next view */ }
  }

  /** The kernel has something: other tabs' labels, or the news that ours are on disk. */
  receive() {
    this.records = merge(this.records, this.model.get("_records"));
    this.settle();
    this.changed();
  }

  /** Wait no longer for what the kernel has on disk. */
  settle() {
    const saved = this.model.get("_saved");
    for (const [id, record] of this.waiting)
      if (id in saved && !outranks(record, { edit: saved[id][0], by: saved[id][1] })) this.waiting.delete(id);
    this.keepWaiting();
  }

  /** What is not on disk yet outlives a reload of the page in the browser's own storage, where it has one. */
  keepWaiting() {
    try {
      if (this.waiting.size) localStorage.setItem(this.place + this.by, JSON.stringify([...this.waiting.values()]));
      else localStorage.removeItem(this.place + this.by);
    } catch { /* private windows and some front ends have none, or no room */ }
  }

  /** Take over what earlier views of these labels could not bring to disk. */
  adopt() {
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(this.place));
      const found = merge(...names.map((name) => JSON.parse(localStorage.getItem(name))));
      for (const name of names) localStorage.removeItem(name);
      return found;
    } catch {
      return [];
    }
  }
}

/** Milliseconds of looking and drawing; time in which the page cannot be seen does not count. */
export class Stopwatch {
  constructor() {
    this.start = null;
    this.hiddenAt = null;
    this.follow = () => {
      const now = performance.now();
      if (document.hidden) this.hiddenAt ??= now;
      else if (this.hiddenAt !== null) {
        if (this.start !== null) this.start += now - this.hiddenAt;
        this.hiddenAt = null;
      }
    };
    document.addEventListener("visibilitychange", this.follow);
    if (document.hidden) this.hiddenAt = performance.now();
  }

  restart() {
    this.start = performance.now();
    if (this.hiddenAt !== null) this.hiddenAt = this.start;
  }

  /** Milliseconds since the last lap (or the start), and begin the next. */
  lap() {
    this.follow();
    const milliseconds = this.start === null ? 0 : Math.max(0, Math.round(performance.now() - this.start));
    this.restart();
    return milliseconds;
  }

  end() {
    document.removeEventListener("visibilitychange", this.follow);
  }
}
