// What stands for a widget's model on a page without a kernel.

/** Whether two values of a trait are the same; bytes are compared as objects. */
const same = (a, b) => {
  if (Object.is(a, b)) return true;
  if (ArrayBuffer.isView(a) || ArrayBuffer.isView(b) || typeof a !== "object" || typeof b !== "object") return false;
  return JSON.stringify(a) === JSON.stringify(b);
};

/** A model of `state`; `hear` is told what the widget saves, as Python would be, and may answer with `put`. */
export class Model {
  /** @param {Object<string, any>} state @param {(changes: Object<string, any>, model: Model) => void} [hear] */
  constructor(state, hear = () => {}) {
    this.state = state;
    this.hear = hear;
    /** @type {Object<string, any>} */
    this.waiting = {};
    /** @type {Object<string, Function[]>} */
    this.listeners = {};
  }

  get(name) {
    return this.state[name];
  }

  /** The widget sets a trait; it is heard when the widget saves. */
  set(name, value) {
    if (same(this.state[name], value)) return;
    this.waiting[name] = value;
    this.put({ [name]: value });
  }

  /** Traits change, and who listens is told of those that are not what they were. */
  put(values) {
    const changed = Object.keys(values).filter((name) => !same(this.state[name], values[name]));
    Object.assign(this.state, values);
    for (const name of changed) this.fire(`change:${name}`);
    if (changed.length) this.fire("change");
  }

  save_changes() {
    const changes = this.waiting;
    this.waiting = {};
    if (Object.keys(changes).length) this.hear(changes, this);
  }

  on(event, listener) {
    (this.listeners[event] ??= []).push(listener);
  }

  off(event, listener) {
    this.listeners[event] = (this.listeners[event] ?? []).filter((l) => l !== listener);
  }

  fire(event) {
    for (const listener of [...(this.listeners[event] ?? [])]) listener();
  }
}
