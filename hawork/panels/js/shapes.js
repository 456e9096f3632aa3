// What the timeline is drawn with: patterns, marks, and elements that are used again.

import { el, put, svg } from "./dom.js";
import { seconds } from "./layout.js";

export const PATTERN_OF = {
  "taking over": "dots", paused: "stripes", down: "cross", INITIALIZING: "dots", CREATED: "dots",
  RESTARTING: "stripes", SUSPENDED: "cross", FAILING: "dots", CANCELLING: "dots",
  "no longer true": "stripes", merged: "bars", "no answer": "stripes", "not known": "dots",
  "no progress": "stripes",
};
export const SHAPES = {
  fault: "M-5-5L5 5M-5 5L5-5", checkpoint: "M-3.5-3L3.5-3L0 3Z", restored: "M-5 4L5 4L0-5Z",
  log: "M-1-6H1V6H-1Z", alarm: "M-4-4H4V4H-4Z",
  hung: "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
  mended: "M-5 0H5M0-5V5", step: "M0-6L6 0L0 6L-6 0Z", released: "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0-4 0Z",
};

const LEGEND = {
  mended: "end of a fault", step: "armed step", restored: "restored from a checkpoint",
  released: "leadership given up in its name", checkpoint: "checkpoint completed", log: "line of a log",
};

export function patterns(id) {
  const shapes = {
    dots: "M1 1h1.6v1.6h-1.6z", stripes: "M-1 7L7-1M-1 1L1-1M5 7L7 5",
    cross: "M0 0L6 6M6 0L0 6", bars: "M2 0V6",
  };
  return Object.entries(shapes).map(([name, d]) =>
    svg("pattern", { id: `${id}-${name}`, width: "6", height: "6", patternUnits: "userSpaceOnUse" },
      svg("path", { d, class: "hw-pattern" })));
}

// Made when they are needed: most bars are plain, and many too narrow for words.
export function hatchOf(group) {
  if (!group.hatch) {
    group.hatch = svg("rect", { class: "hw-hatch", rx: "2" });
    group.fill.after(group.hatch);
  }
  return group.hatch;
}

export function wordsOf(group) {
  if (!group.words) {
    group.words = svg("text", {});
    group.append(group.words);
  }
  return group.words;
}

export function describe(rect) {
  const who = rect.label && rect.label !== rect.state ? ` ${rect.label}` : "";
  const until = rect.goesOn ? "until now" : `to ${seconds(rect.end)}`;
  const session = rect.session ? `, session ${rect.session}` : "";
  return `${rect.lane}: ${rect.state}${who}, from ${seconds(rect.start)} ${until}${session}`;
}

export function place(element, numbers) {
  for (const [name, value] of Object.entries(numbers)) put(element, name, Math.round(value * 10) / 10);
}

// As many children as items; those that are there are used again.
export function reuse(container, items, create, update) {
  while (container.children.length > items.length) container.lastChild.remove();
  while (container.children.length < items.length) container.append(create());
  items.forEach((item, at) => update(container.children[at], item));
}

// What the colours, patterns and marks of a picture mean: those that are in it.
export function legendItem(id, kind) {
  const state = kind.startsWith("state ");
  const name = kind.slice(kind.indexOf(" ") + 1);
  const picture = svg("svg", { width: "18", height: "12", "aria-hidden": "true" });
  if (state) {
    const pattern = PATTERN_OF[name];
    const numbers = { x: 1, y: 1, width: 16, height: 10 };
    const group = svg("g", { class: `hw-bar hw-${name.toLowerCase().replaceAll(" ", "-")}` },
      svg("rect", { rx: "2", ...numbers }));
    if (pattern) group.append(svg("rect", { ...numbers, fill: `url(#${id}-${pattern})` }));
    picture.append(group);
  } else {
    picture.append(svg("g", { class: `hw-mark hw-mark-${name}`, transform: "translate(9 6)" },
      svg("path", { d: SHAPES[name] ?? SHAPES.step })));
  }
  return el("li", { "data-kind": kind }, picture, ` ${LEGEND[name] ?? name}`);
}
