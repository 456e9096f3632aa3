// Elements made in one call, and lists that keep their elements, so that focus is never lost.

const SVG = "http://www.w3.org/2000/svg";
// Each notebook of a JupyterLab has this module to itself, and all of them are one document.
const MODULE = Math.random().toString(36).slice(2, 10);
let ids = 0;

export function newId(name) {
  return `hw-${name}-${MODULE}-${(ids += 1)}`;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else put(element, name, value);
  }
  element.append(...children);
  return element;
}

// Sets an attribute only if it changes; false, null and undefined remove it. What was set is
// remembered beside the element: asking the document costs more than it saves.
export function put(element, name, value) {
  const set = element.hwSet ?? (element.hwSet = new Map());
  const text = value === false || value === null || value === undefined
    ? null : value === true ? "" : String(value);
  if (set.get(name) === text) return;
  set.set(name, text);
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

export function say(element, text) {
  if (element.hwText === text) return;
  element.hwText = text;
  element.textContent = text;
}

// One child per key, in order: those that stay are updated, not made again.
export function keyed(container, keys, create, update) {
  const known = container.keyedChildren ?? (container.keyedChildren = new Map());
  const wanted = new Set(keys);
  for (const [key, element] of known) {
    if (!wanted.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
  let before = null;
  for (const key of keys) {
    let element = known.get(key);
    if (!element) {
      element = create(key);
      known.set(key, element);
    }
    const place = before ? before.nextSibling : container.firstChild;
    if (place !== element) container.insertBefore(element, place);
    before = element;
    update(element, key);
  }
}

// Keys pressed here are for the panel, not for the notebook: "d d" would delete its cell.
// JupyterLab looks at the focused element first, so each of them has to say so itself.
export function ownKeys(root) {
  root.addEventListener("focusin", ({ target }) => {
    put(target, "data-lm-suppress-shortcuts", "true");
  });
}

// A button that stays focusable while it can do nothing, and says so.
export function button(label, act, attributes = {}) {
  const made = el("button", { type: "button", class: "hw-button", ...attributes }, label);
  made.addEventListener("click", () => {
    if (made.getAttribute("aria-disabled") !== "true") act(made);
  });
  return made;
}

export function enable(element, enabled) {
  put(element, "aria-disabled", enabled ? null : "true");
}

export function short(session) {
  return session ? session.slice(0, 8) : "";
}

// Long hexadecimal ids, of jobs and files, by their first digits.
export function elided(text) {
  return text.replace(/([0-9a-f]{6})[0-9a-f]{14,}/g, "$1…");
}
