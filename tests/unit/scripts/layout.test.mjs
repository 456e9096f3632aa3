// The timeline's arithmetic and the views' state, without a browser: node --test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const script = readFileSync(process.env.HAWORK_SCRIPT, "utf8");
const names = [
  "emptyModel", "applyPatch", "adoptKeyframe", "applyDelta", "ticks", "clock", "tickLabel", "zoom", "pan",
  "follow", "fit", "segmentsUntil", "marksUntil", "laneRows", "placeIn", "rectsOf", "thinMarks",
  "scaleOf", "offset", "rebase", "outbox", "stateAt", "missing", "outdated",
  "isClosed", "lastMoment", "isCut", "wordsAbove",
];
const source = script.replace("export default { render };", `export { ${names.join(", ")} };`);
const {
  emptyModel, applyPatch, adoptKeyframe, applyDelta, ticks, clock, tickLabel, zoom, pan, follow, fit,
  segmentsUntil, marksUntil, laneRows, placeIn, rectsOf, thinMarks, scaleOf, offset, rebase, outbox,
  stateAt, missing, outdated, isClosed, lastMoment, isCut, wordsAbove,
} = await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);

const keyframe = (seq, more = {}) => ({
  seq, now: 1000, state: { a: { x: 1 }, ...more }, lists: { segments: [["jm-1"]], marks: [] },
});

test("deltas before the first keyframe are dropped", () => {
  const model = emptyModel();
  assert.equal(applyDelta(model, { seq: 1, now: 5, patch: { a: { x: 2 } } }), "gap");
  assert.deepEqual(model.state, {});
  assert.ok(adoptKeyframe(model, keyframe(1)));
  assert.equal(applyDelta(model, { seq: 2, now: 9, patch: { a: { y: 3 } } }), "applied");
  assert.deepEqual(model.state, { a: { x: 1, y: 3 } });
  assert.equal(model.now, 9);
});

test("a gap needs a keyframe, an old keyframe or delta changes nothing", () => {
  const model = emptyModel();
  adoptKeyframe(model, keyframe(5));
  assert.equal(applyDelta(model, { seq: 5, now: 9, patch: { a: null } }), "known");
  assert.equal(adoptKeyframe(model, keyframe(3)), false);
  assert.equal(applyDelta(model, { seq: 7, now: 9, patch: { a: null } }), "gap");
  assert.ok(model.state.a);
  assert.ok(adoptKeyframe(model, keyframe(7)));
  assert.equal(model.synced, true);
});

test("patches do not reach into the widget's own keyframe", () => {
  const model = emptyModel();
  const whole = keyframe(1);
  adoptKeyframe(model, whole);
  applyDelta(model, { seq: 2, now: 1, patch: { a: { x: 9 } }, append: { segments: [["jm-2"]] } });
  assert.equal(whole.state.a.x, 1);
  assert.equal(whole.lists.segments.length, 1);
  assert.equal(model.lists.segments.length, 2);
});

test("null removes, lists replace", () => {
  assert.deepEqual(applyPatch({ a: { b: 1, c: [1, 2] }, d: 1 }, { a: { b: null, c: [3] }, d: null }),
    { a: { c: [3] } });
});

test("a recorded run goes to any moment, forward and back", () => {
  const patches = [
    [0, { cluster: { leader: "", cards: { "jm-1": { state: "standby" } } } }],
    [500, { cluster: { leader: "jm-1", cards: { "jm-1": { state: "leading" } } } }],
    [900, { cluster: { leader: "", cards: { "jm-1": null } }, jobs: { order: ["a"] } }],
  ];
  const model = { state: { life: { closed: true }, moments: { patches } } };
  const whole = structuredClone(patches);
  const said = (time) => stateAt(model, time).cluster;
  assert.equal(said(499).leader, "");
  assert.equal(said(500).leader, "jm-1");
  assert.deepEqual(said(5000).cards, {});
  assert.deepEqual(stateAt(model, 5000).jobs, { order: ["a"] });
  assert.deepEqual(said(600), { leader: "jm-1", cards: { "jm-1": { state: "leading" } } });
  assert.equal(stateAt(model, 600).jobs, undefined);
  assert.equal(said(0).cards["jm-1"].state, "standby");
  assert.deepEqual(stateAt(model, 0).life, { closed: true });
  assert.deepEqual(patches, whole);
});

test("ticks are round, few, and labelled as finely as needed", () => {
  assert.deepEqual(ticks({ from: 0, to: 20000 }, 10), [0, 2000, 4000, 6000, 8000, 10000, 12000,
    14000, 16000, 18000, 20000]);
  for (const span of [7, 230, 3100, 61000, 3.6e6, 2.5e8]) {
    assert.ok(ticks({ from: 12345, to: 12345 + span }, 8).length <= 9, String(span));
  }
  assert.equal(tickLabel(250, 50), "0.25 s");
  assert.equal(tickLabel(12000, 2000), "12 s");
  assert.equal(clock(3 * 3600000, 12000), "03:00:12", "the kernel's clock, wherever the browser is");
  assert.equal(clock(undefined, 12000), "");
  assert.equal(tickLabel(200000, 20000), "3:20");
  assert.equal(tickLabel(3723000, 60000), "1:02:03");
});

test("zooming keeps the time under the pointer, within bounds", () => {
  const view = zoom({ from: 1000, to: 5000 }, 0.5, 0.25, 60000);
  assert.deepEqual(view, { from: 1500, to: 3500 });
  assert.equal(zoom(view, 1e-9, 0.5, 60000).to - zoom(view, 1e-9, 0.5, 60000).from, 200);
  const widest = zoom(view, 1e9, 0.5, 60000);
  assert.ok(Math.abs(widest.to - widest.from - 66000) < 1);
  assert.deepEqual(pan({ from: 0, to: 100 }, 0.25), { from: 25, to: 125 });
});

test("following keeps the span and the present in sight", () => {
  assert.deepEqual(follow({ from: 0, to: 20000 }, 3000), { from: 0, to: 20000 });
  const later = follow({ from: 0, to: 20000 }, 100000);
  assert.equal(later.to - later.from, 20000);
  assert.ok(later.to > 100000 && later.from < 100000);
  assert.ok(fit(100000).to > 100000);
});

const model = () => ({
  state: {
    timeline: { open: { "jm-1": ["jm-1", "leading", 2000, -1, "", "s"] } },
  },
  lists: {
    segments: [["jm-1", "standby", 0, 2000, "", ""], ["jm-2", "standby", 0, 5000, "", ""]],
    marks: [["jm-1", "fault", 3000, "kill"], ["jm-1", "checkpoint", 4500, "checkpoint 1"]],
  },
});

test("what goes on ends now; a replay shows no more than was known", () => {
  assert.deepEqual(segmentsUntil(model(), 6000).map((each) => [each.lane, each.start, each.end]),
    [["jm-1", 0, 2000], ["jm-2", 0, 5000], ["jm-1", 2000, 6000]]);
  const early = segmentsUntil(model(), 1500);
  assert.deepEqual(early.map((each) => [each.lane, each.end, each.goesOn]),
    [["jm-1", 1500, true], ["jm-2", 1500, true]]);
  assert.equal(marksUntil(model(), 3500).length, 1);
});

test("two believers have a row each within their lane", () => {
  const lanes = [["holds the lock", "truth"], ["thinks it leads", "truth"], ["jm-1", "jobmanager"]];
  const segments = [
    { lane: "thinks it leads", state: "paused", start: 0, end: 9, label: "jm-1" },
    { lane: "thinks it leads", state: "leading", start: 5, end: 9, label: "jm-2" },
    { lane: "holds the lock", state: "leading", start: 5, end: 9, label: "jm-2" },
  ];
  const { rows } = laneRows(lanes, segments, 24);
  const [first, second] = segments.map((each) => placeIn(rows[1], each));
  assert.ok(first.y + first.height <= second.y);
  assert.ok(second.y + second.height <= rows[2].top);
  assert.equal(placeIn(rows[0], segments[2]).height, 20);
});

test("never more rects than allowed, and every visible time stays covered", () => {
  const segments = [];
  for (let at = 0; at < 30000; at += 1) {
    segments.push({ lane: `jm-${at % 3}`, state: "standby", start: at * 10, end: at * 10 + 30,
      label: "", goesOn: false });
  }
  const lanes = ["jm-0", "jm-1", "jm-2"].map((name) => [name, "jobmanager"]);
  const view = { from: 0, to: 300000 };
  const { rows } = laneRows(lanes, segments, 24);
  const rects = rectsOf(segments, rows, { ...view, base: 0 }, 1000, 2000);
  assert.ok(rects.length <= 2000, String(rects.length));
  for (const lane of ["jm-0", "jm-1", "jm-2"]) {
    const covered = rects.filter((rect) => rect.lane === lane);
    assert.ok(covered[0].x <= 1);
    assert.ok(Math.max(...covered.map((rect) => rect.x + rect.width)) >= 999);
    assert.equal(covered.reduce((sum, rect) => sum + rect.count, 0), 10000);
  }
});

test("only what is visible is drawn, where its time is", () => {
  const segments = segmentsUntil(model(), 6000);
  const { rows } = laneRows([["jm-1", "jobmanager"]], segments, 24);
  const view = { from: 3000, to: 7000 };
  const rects = rectsOf(segments, rows, { ...view, base: view.from }, 400, 2000);
  assert.equal(rects.length, 1);
  assert.equal(scaleOf(view, 400), 0.1);
  assert.equal(rects[0].x, -100);
  assert.equal(rects[0].width, 400);
});

test("panning moves the picture and changes no rect of it", () => {
  const segments = [];
  for (let at = 0; at < 4000; at += 1) {
    segments.push({ lane: "jm-1", state: "standby", start: at * 7, end: at * 7 + 6, label: "",
      goesOn: false });
  }
  const { rows } = laneRows([["jm-1", "jobmanager"]], segments, 24);
  const places = (view) => new Map(rectsOf(segments, rows, view, 800, 2000)
    .map((rect) => [rect.key, `${rect.x} ${rect.width} ${rect.count}`]));
  const view = { from: 1000, to: 21000 };
  rebase(view, 800, 20000);
  const before = places(view);
  Object.assign(view, pan(view, 0.1));
  rebase(view, 800, 20000);
  assert.equal(view.base, 1000);
  assert.equal(offset(view, 800), -80);
  const after = places(view);
  const common = [...after].filter(([key]) => before.has(key));
  assert.ok(common.length > before.size * 0.85);
  assert.ok(common.filter(([key, place]) => before.get(key) !== place).length <= 2);
  Object.assign(view, zoom(view, 0.5, 0.5, 60000));
  rebase(view, 800, view.to - view.from);
  assert.equal(view.base, view.from);
});

test("checkpoints that would cover each other are one mark, faults never", () => {
  const marks = [];
  for (let at = 0; at < 100; at += 1) {
    marks.push({ lane: "job a", kind: "checkpoint", time: at * 10, label: "" });
    marks.push({ lane: "jm-1", kind: "fault", time: at * 10, label: "kill" });
  }
  const kept = thinMarks(marks, { from: 0, to: 10000 }, 1000, 7, 600);
  assert.equal(kept.filter((mark) => mark.kind === "fault").length, 100);
  const checkpoints = kept.filter((mark) => mark.kind === "checkpoint");
  assert.ok(checkpoints.length < 20);
  assert.equal(checkpoints.reduce((sum, mark) => sum + mark.count, 0), 100);
});

test("a request is sent again until it was taken, and not for ever", () => {
  const sent = [], timers = [];
  const requests = outbox((request) => sent.push(request), (act) => timers.push(act), () => {});
  requests.ask({ do: "kill", target: "jm-1" });
  assert.equal(sent.length, 1);
  timers.shift()();
  assert.deepEqual(sent[1], sent[0]);
  requests.heard([sent[0].id]);
  timers.shift()();
  assert.equal(sent.length, 2);
  assert.equal(timers.length, 0);

  requests.ask({ do: "pause", target: "jm-1" });
  assert.notEqual(sent[2].id, sent[0].id);
  while (timers.length) timers.shift()();
  assert.equal(sent.length, 32);
});

test("words stand where the right edge does not cut them, and not over others", () => {
  assert.equal(isCut(400, "40 s · 11:15:45", 420), true);
  assert.equal(isCut(300, "40 s · 11:15:45", 420), false);
  const band = (x, words = "0.029 s") => ({ x, width: 2, words });
  assert.deepEqual(wordsAbove([band(100)], 0, 420), [{ x: 105, anchor: "start", words: "0.029 s" }]);
  assert.deepEqual(wordsAbove([band(400)], 0, 420), [{ x: 397, anchor: "end", words: "0.029 s" }]);
  assert.deepEqual(wordsAbove([band(900)], -800, 420)[0].anchor, "start");
  const close = wordsAbove([band(100), band(130), band(200)], 0, 420);
  assert.deepEqual(close.map((each) => each.words), ["", "0.029 s", "0.029 s"]);
  assert.deepEqual(wordsAbove([band(380), band(400)], 0, 420).map((each) => each.words), ["", "0.029 s"]);
});

test("a replay is not closed, though its run is over", () => {
  const model = emptyModel();
  assert.equal(isClosed(model), false);
  adoptKeyframe(model, keyframe(1, { life: { closed: false } }));
  assert.equal(isClosed(model), false);
  applyDelta(model, { seq: 2, now: 9, patch: { life: { closed: true } } });
  assert.equal(isClosed(model), true);
  assert.equal(isClosed({ ...model, recorded: true }), false);
});

test("the replay of a closed lab begins just before it was closed", () => {
  const model = emptyModel();
  adoptKeyframe(model, keyframe(1, { life: { closed: true } }));
  assert.equal(lastMoment(model), model.now);
  applyDelta(model, { seq: 2, now: 9000, patch: { life: { closed: true, at: 8000 } } });
  assert.equal(lastMoment(model), 8000);
});

test("what a browser lacks is named", () => {
  const all = missing({});
  assert.ok(all.length >= 6 && all.includes("ResizeObserver") && all.includes("String.replaceAll"));
  const whole = Object.fromEntries(all.map((name) => [name, () => {}]));
  const Element = function Element() {};
  Element.prototype.replaceChildren = () => {};
  assert.deepEqual(missing({ ...whole, String, Element }), []);
  delete whole.structuredClone;
  assert.match(outdated(missing({ ...whole, String, Element })), /^This browser has no structuredClone, /);
});

test("two notebooks of one JupyterLab give their parts different ids", async () => {
  const source = script.replace("export default { render };", "export { newId };");
  const ids = new Set();
  for (const notebook of ["one", "other"]) {
    const code = Buffer.from(`${source}\n// ${notebook}`).toString("base64");
    const { newId } = await import(`data:text/javascript;base64,${code}`);
    ids.add(newId("timeline")).add(newId("timeline"));
  }
  assert.equal(ids.size, 4, [...ids].join(" "));
});
