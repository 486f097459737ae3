// Elements, keys and small helpers that all widgets and the quiz share.

/** @param {number} value @param {number} low @param {number} high */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * An element with properties (`aria-…` and `data-…` as attributes) and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Object<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") made.style.cssText = value; // an attribute would be refused where styles are guarded
    else if (name in made && !name.includes("-")) /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * An element that takes the focus. JupyterLab looks for this mark on the focused element itself, and without
 * it reads `b` as "insert a cell" and `m` as "turn this cell into Markdown".
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Object<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function focusable(tag, properties, ...children) {
  const made = element(tag, properties, ...children);
  made.dataset.lmSuppressShortcuts = "true";
  return made;
}

/**
 * Keep the last result of a function for as long as its arguments stay the same.
 * @template {any[]} Inputs
 * @template Result
 * @param {(...inputs: Inputs) => Result} compute
 * @returns {(...inputs: Inputs) => Result}
 */
export function remember(compute) {
  /** @type {Inputs | undefined} */
  let known;
  /** @type {Result} */
  let result;
  return (...inputs) => {
    if (known?.length !== inputs.length || inputs.some((input, i) => input !== known?.[i])) {
      result = compute(...inputs);
      known = inputs;
    }
    return result;
  };
}

/**
 * Bytes of a trait, in memory of their own; front ends hand over a DataView or an ArrayBuffer.
 * @param {ArrayBuffer | ArrayBufferView} value
 * @returns {ArrayBuffer}
 */
export function bytesOf(value) {
  if (!ArrayBuffer.isView(value)) return value.slice(0);
  return /** @type {ArrayBuffer} */ (value.buffer).slice(value.byteOffset, value.byteOffset + value.byteLength);
}

/**
 * Scroll `list` until `row` is seen (scrollIntoView would move the notebook as well).
 * @param {any} row
 * @param {HTMLElement} list
 */
export function keepInSight(row, list) {
  const above = row.offsetTop;
  const below = above + row.offsetHeight - list.clientHeight;
  list.scrollTop = Math.max(below, Math.min(list.scrollTop, above));
}

/**
 * Listen to several events of a model; gives the function that ends it.
 * @param {any} model
 * @param {Object<string, () => void>} listeners
 */
export function listen(model, listeners) {
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

/** The arrow keys as steps to the right and down. @type {Object<string, number[]>} */
export const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A colour's swatch, for lists and chips. @param {string} colour */
export const swatch = (colour) => element("span", { className: "lk-swatch", style: `background: ${colour}` });
