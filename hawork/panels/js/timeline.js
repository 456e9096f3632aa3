// The timeline: lanes on one axis, drawn as SVG whose elements are kept between updates.

import { el, keyed, newId, put, say, svg } from "./dom.js";
import {
  clock, fit, follow, isCut, laneRows, marksUntil, offset, pan, rebase, rectsOf, scaleOf, seconds, segmentsUntil,
  textFits, thinMarks, tickLabel, ticks, wordsAbove, zoom,
} from "./layout.js";
import {
  PATTERN_OF, SHAPES, describe, hatchOf, legendItem, patterns, place, reuse, wordsOf,
} from "./shapes.js";
import { toolbar } from "./toolbar.js";

const ROW = 24;
const LEFT = 128;
const AXIS = 22;
const TOP = 16;
const MOST_RECTS = 2000;
const MOST_MARKS = 600;
const FIRST_SPAN = 20000;
const SHORTEST_PAUSE = 200;
const DRAW_PAUSE = 200;

export function timelineView(send, model) {
  const id = newId("timeline");
  const bands = svg("g", {});
  const grid = svg("g", { class: "hw-grid" });
  const bars = svg("g", {});
  const marks = svg("g", {});
  const edge = svg("line", { class: "hw-now" });
  const plot = svg("g", { "clip-path": `url(#${id}-clip)` },
    svg("g", {}, bands, grid, bars, marks, edge));
  const moved = plot.firstChild;
  const clip = svg("rect", {});
  const names = svg("g", { class: "hw-lanes" });
  const picture = svg("svg", {
    class: "hw-timeline", role: "group", tabindex: "0", "aria-roledescription": "timeline",
    "aria-describedby": `${id}-keys`, "data-rects": "0",
  }, svg("defs", {}, svg("clipPath", { id: `${id}-clip` }, clip), ...patterns(id)), names, plot);
  const detail = el("p", { class: "hw-detail", "aria-live": "polite" });
  const view = { from: 0, to: FIRST_SPAN, following: true, cursor: null };
  let focused = null;
  let rects = [];
  let width = 900;
  let timer = 0;
  let waiting = 0;
  let drawnAt = 0;

  const controls = toolbar(view, model, { now, change: () => {
      draw(true);
      if (view.cursor !== null) model.moved?.(view.cursor);
    }, id });
  const table = el("table", {});
  const folded = el("details", { ontoggle: model.guarded(() => draw(true)) },
    el("summary", {}, "The same as a table"), el("div", { class: "hw-scroll", tabindex: "0" }, table));
  const legend = el("ul", { class: "hw-legend", "aria-label": "Legend" });
  const root = el("div", { class: "hw-timeline-box" }, controls.root, picture, legend, detail, folded);

  // What the kernel said last, and the time since then: an idle lab needs no messages.
  function now() {
    if (view.cursor !== null) return view.cursor;
    if (model.replay || model.state.life?.closed || model.orphaned) return model.now;
    return model.now + (performance.now() - model.received);
  }

  // Everything anew: when something has happened, or the reader looks elsewhere.
  function draw(all = false) {
    const timeline = model.state.timeline;
    if (!timeline) return;
    const present = now();
    if (model.state.life?.closed && !view.ended) {
      view.ended = true;
      if (view.following) Object.assign(view, fit(present), { following: false });
    }
    if (view.following) Object.assign(view, follow(view, present));
    rebase(view, width, view.to - view.from);
    drawnAt = performance.now();
    const found = segmentsUntil(model, present);
    const { rows, height } = laneRows(timeline.lanes, found, ROW);
    put(picture, "viewBox", `0 0 ${LEFT + width} ${TOP + height + AXIS}`);
    put(picture, "height", TOP + height + AXIS);
    put(picture, "aria-label", `Timeline of ${rows.length} lanes`);
    place(clip, { x: 0, y: 0, width, height: TOP + height + AXIS });
    put(plot, "transform", `translate(${LEFT} 0)`);
    rects = rectsOf(found, rows, view, width, MOST_RECTS);
    put(picture, "data-rects", rects.length);
    drawNames(rows);
    drawBars();
    drawMarks(rows);
    drawLegend(found, present);
    drawTakeovers(timeline, present, height);
    drawAxis(height);
    place(edge, { y1: TOP, y2: TOP + height });
    shift(present);
    if (all || folded.open) drawTable(found, present);
    sleep();
  }

  // News may come ten times a second: drawn at once after a quiet moment, else in turn.
  function update() {
    const rest = DRAW_PAUSE - (performance.now() - drawnAt);
    if (rest <= 0) draw();
    else if (!waiting) {
      waiting = setTimeout(() => {
        waiting = 0;
        requestAnimationFrame(model.guarded(() => draw()));
      }, rest);
    }
  }

  // Only time has passed: the picture moves, and what goes on grows.
  function shift(present) {
    const scale = scaleOf(view, width);
    put(moved, "transform", `translate(${offset(view, width).toFixed(1)} 0)`);
    const x = Math.round((present - view.base) * scale * 10) / 10;
    put(edge, "x1", x);
    put(edge, "x2", x);
    for (const rect of rects) {
      if (!rect.goesOn) continue;
      rect.width = Math.max(1, (present - rect.start) * scale);
      const group = bars.byKey.get(rect.key);
      for (const each of [group.fill, group.hatch]) {
        if (each) put(each, "width", Math.round(rect.width * 10) / 10);
      }
    }
    controls.update(present);
  }

  function tick() {
    const present = now();
    const slid = view.following && follow(view, present);
    // Ticks of the axis come in at the right, and bars leave at the left, now and then.
    if (slid && performance.now() - drawnAt > 1000) {
      draw();
      return;
    }
    if (slid) Object.assign(view, slid);
    shift(present);
    sleep();
  }

  // Moves again when the edge has moved by half a pixel, and not before.
  function sleep() {
    clearTimeout(timer);
    const still = model.replay || model.state.life?.closed || model.orphaned;
    if (still || view.cursor !== null || !root.isConnected) return;
    const visible = view.to >= now();
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 0;
    const pause = Math.max(SHORTEST_PAUSE, quiet, 0.5 / scaleOf(view, width));
    if (visible) timer = setTimeout(() => requestAnimationFrame(model.guarded(tick)), pause);
  }

  function drawNames(rows) {
    reuse(names, rows, () => svg("text", { x: "4" }), (text, row) => {
      put(text, "y", TOP + row.top + row.height / 2 + 4);
      put(text, "class", row.role === "truth" ? "hw-truth" : "");
      say(text, row.lane);
    });
  }

  function drawBars() {
    const known = bars.byKey ?? (bars.byKey = new Map());
    const wanted = new Set(rects.map((rect) => rect.key));
    for (const [key, group] of known) {
      if (!wanted.has(key)) {
        const lost = group === document.activeElement;
        group.remove();
        known.delete(key);
        if (lost) picture.focus();
      }
    }
    const shifted = offset(view, width);
    for (const rect of rects) {
      const group = known.get(rect.key) ?? newBar(rect.key, known);
      group.shown = rect;
      // What moves out of sight until the next drawing must not take its words along.
      const out = view.following && rect.x < -shifted ? Math.min(24, 1000 * scaleOf(view, width)) : 0;
      const left = Math.max(rect.x, -shifted) + out;
      const room = Math.min(rect.x + rect.width, width - shifted) - left;
      const words = rect.state === "merged" ? "" : rect.label || rect.state;
      const fits = rect.height > 8 && rect.state !== "down" && textFits(words, room);
      const look = `${rect.x} ${rect.width} ${rect.y} ${rect.height} ${rect.state} ${rect.label} ${
        rect.goesOn} ${fits && left}`;
      if (group.look === look) continue;
      group.look = look;
      put(group, "class", `hw-bar hw-${rect.state.toLowerCase().replaceAll(" ", "-")}`);
      put(group, "data-lane", rect.lane);
      put(group, "data-state", rect.state);
      put(group, "aria-label", describe(rect));
      const numbers = { x: rect.x, y: TOP + rect.y, width: rect.width, height: rect.height };
      place(group.fill, numbers);
      const pattern = PATTERN_OF[rect.state];
      if (pattern) place(hatchOf(group), numbers);
      if (group.hatch) put(group.hatch, "fill", pattern ? `url(#${id}-${pattern})` : "none");
      if (fits) place(wordsOf(group), { x: left + 5, y: TOP + rect.y + rect.height / 2 + 3.8 });
      if (group.words) say(group.words, fits ? words : "");
    }
  }

  function newBar(key, known) {
    const group = svg("g", { tabindex: "-1", role: "img" });
    group.fill = svg("rect", { rx: "2" });
    group.append(group.fill);
    group.addEventListener("pointerenter", () => tell(group.shown));
    group.addEventListener("focus", () => tell(group.shown));
    known.set(key, group);
    bars.append(group);
    return group;
  }

  function drawMarks(rows) {
    const byLane = new Map(rows.map((row) => [row.lane, row]));
    const present = now();
    const all = marksUntil(model, present).filter((mark) => byLane.has(mark.lane));
    drawStalls(all, rows);
    const shown = thinMarks(all.filter((mark) => mark.kind !== "stalled"), view, width, 7, MOST_MARKS);
    reuse(marks, shown, () => svg("g", { role: "img" }, svg("path", {}), svg("title", {})),
      (group, mark) => {
        const row = byLane.get(mark.lane);
        const y = TOP + row.top + (mark.kind === "checkpoint" ? 5 : ROW / 2);
        put(group, "class", `hw-mark hw-mark-${mark.kind}`);
        put(group, "transform", `translate(${mark.x.toFixed(1)} ${y})`);
        const what = mark.count > 1 ? `${mark.count} ${mark.kind}s` : mark.label;
        put(group, "aria-label", `${seconds(mark.time)} ${mark.lane}: ${what}`);
        put(group, "data-kind", mark.kind);
        put(group.firstChild, "d", SHAPES[mark.kind] ?? SHAPES.step);
        say(group.lastChild, `${seconds(mark.time)} ${mark.lane}: ${what}`);
      });
  }

  // Of the whole run, so that it does not jump while a view moves.
  function drawLegend(found, present) {
    const states = new Set(found.map((each) => each.state));
    const kinds = new Set(marksUntil(model, present).map((mark) => mark.kind));
    kinds.delete("stalled"); // its words are in the picture
    const items = [...[...states].map((each) => `state ${each}`), ...[...kinds].map((each) => `mark ${each}`)];
    keyed(legend, items.sort(), (kind) => legendItem(id, kind), () => {});
  }

  function drawStalls(all) {
    const stalls = all.filter((mark) => mark.kind === "stalled");
    const scale = scaleOf(view, width);
    view.stalls = stalls.map((mark) => {
      const length = (parseFloat(mark.label.replace(/\D*/, "")) || 0) * 1000;
      return { x: (mark.time - length - view.base) * scale, width: length * scale, label: mark.label };
    });
  }

  // From losing a leader to the next one's published address; and where the machine stood.
  function drawTakeovers(timeline, present, height) {
    const scale = scaleOf(view, width);
    const spans = (timeline.takeovers ?? [])
      .filter(([, lost, published]) => published <= present && published >= view.from && lost <= view.to)
      .map(([process, lost, published, cause]) => ({
        kind: "takeover", x: (lost - view.base) * scale, width: (published - lost) * scale,
        label: `${process} took over ${seconds(published - lost)} after ${cause}`,
        words: seconds(published - lost),
      }));
    const stalls = view.stalls.map((each) => ({ kind: "stall", words: "host stalled", ...each }));
    const shown = [...spans, ...stalls].map((each) => ({ ...each, width: Math.max(2, each.width) }));
    const above = wordsAbove(shown, offset(view, width), width);
    reuse(bands, shown.map((each, at) => ({ ...each, above: above[at] })),
      () => svg("g", {}, svg("rect", {}), svg("text", {}), svg("title", {})),
      (group, span) => {
        const [rect, text, title] = group.children;
        put(group, "class", `hw-${span.kind}`);
        place(rect, { x: span.x, y: TOP, width: span.width, height });
        place(text, { x: span.above.x, y: TOP - 4 });
        put(text, "text-anchor", span.above.anchor);
        say(text, span.above.words);
        say(title, span.label);
      });
  }

  function drawAxis(height) {
    const scale = scaleOf(view, width);
    const times = ticks(view, Math.max(2, Math.floor(width / 120))).filter((time) => time >= 0);
    const step = times.length > 1 ? times[1] - times[0] : 1000;
    reuse(grid, times, () => svg("g", {}, svg("line", {}), svg("text", {})), (group, time) => {
      const x = (time - view.base) * scale;
      place(group.firstChild, { x1: x, x2: x, y1: TOP, y2: TOP + height });
      place(group.lastChild, { x: x + 2, y: TOP + height + 15 });
      const words = `${tickLabel(time, step)} · ${clock(model.state.timeline.wall, time)}`;
      say(group.lastChild, isCut(x + 2 + offset(view, width), words, width) ? "" : words);
    });
  }

  function drawTable(found, present) {
    if (!folded.open) return;
    const told = found.filter((each) => each.state !== "standby").map((each) => ({
      time: each.start, lane: each.lane, words: `${each.state} ${each.label}`.trim(),
    }));
    const more = marksUntil(model, present).filter((mark) => mark.kind !== "checkpoint")
      .map((mark) => ({ time: mark.time, lane: mark.lane, words: mark.label }));
    const lines = [...told, ...more].sort((one, other) => other.time - one.time).slice(0, 200);
    const wall = model.state.timeline.wall;
    reuse(table, lines, () => el("tr", {}, ...[0, 1, 2, 3].map(() => el("td", {}))),
      (row, line) => {
        [seconds(line.time), clock(wall, line.time), line.lane, line.words].forEach((text, at) => say(row.children[at], text));
      });
  }

  function tell(rect) {
    focused = rect.key;
    say(detail, `${describe(rect)}, at ${clock(model.state.timeline.wall, rect.start)}`);
  }

  // One stop for Tab; arrows go from state to state and from lane to lane.
  function step(event) {
    const at = rects.findIndex((rect) => rect.key === focused);
    const here = at >= 0 && bars.contains(document.activeElement) ? rects[at] : null;
    const forward = event.key === "ArrowRight" || event.key === "ArrowDown";
    let next;
    if (!here) {
      next = rects.reduce((top, rect) => (rect.y < top.y ? rect : top), rects[0]);
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const lane = rects.filter((rect) => rect.lane === here.lane);
      next = lane[lane.indexOf(here) + (forward ? 1 : -1)];
    } else {
      const beyond = rects.filter((rect) => (forward ? rect.y > here.y : rect.y < here.y));
      const nearest = beyond.reduce((best, rect) => Math.min(best, Math.abs(rect.y - here.y)), Infinity);
      next = beyond.find((rect) => Math.abs(rect.y - here.y) === nearest && rect.end >= here.start);
    }
    if (next) bars.byKey.get(next.key)?.focus();
  }

  picture.addEventListener("keydown", (event) => {
    const moved = event.shiftKey && { ArrowLeft: -0.2, ArrowRight: 0.2 }[event.key];
    if (moved) controls.move(pan(view, moved));
    else if (event.key.startsWith("Arrow")) step(event);
    else if (event.key === "+" || event.key === "=") controls.move(zoom(view, 0.5, 0.5, now()));
    else if (event.key === "-") controls.move(zoom(view, 2, 0.5, now()));
    else if (event.key === "Home") controls.move(fit(now()));
    else if (event.key === "End" || event.key === "f") controls.follow(true);
    else if (event.key === " ") controls.follow(!view.following);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    const at = (event.offsetX - LEFT) / width;
    const turned = event.deltaY || event.deltaX;
    controls.move(event.ctrlKey ? zoom(view, turned > 0 ? 1.25 : 0.8, at, now()) : pan(view, turned / 800));
  }, { passive: false });
  let dragged = null;
  picture.addEventListener("pointerdown", (event) => {
    if (event.button === 0) dragged = { x: event.clientX, from: view.from, to: view.to };
  });
  picture.addEventListener("pointermove", (event) => {
    const distance = dragged && dragged.x - event.clientX;
    if (!dragged || (event.buttons & 1) === 0) dragged = null;
    else if (Math.abs(distance) > 3) {
      const shift = distance / scaleOf(view, width);
      controls.move({ from: dragged.from + shift, to: dragged.to + shift });
    }
  });
  const sizes = new ResizeObserver(model.guarded(() => {
    const found = Math.max(240, root.clientWidth - LEFT - 2);
    if (Math.abs(found - width) > 1) {
      width = found;
      draw();
    } else if (performance.now() - drawnAt > 1000) draw();
  }));
  sizes.observe(root);

  const close = () => {
    clearTimeout(timer);
    clearTimeout(waiting);
    sizes.disconnect();
  };
  return { root, title: model.replay ? "Timeline (recorded)" : "Timeline", update, close };
}
