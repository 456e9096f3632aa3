// The timeline's arithmetic: times to pixels, zoom and pan, lanes, and which rects to draw.
// Times are milliseconds since the run's start. No browser here: tests run it in node.

export const MERGED = "merged";
const SHORTEST_WINDOW = 200;
const SUB_ROW = 15;
const FARTHEST = 50000;
const NICE = [1, 2, 5];

export function scaleOf(view, width) {
  return width / Math.max(1, view.to - view.from);
}

// At most `most` round times within a view.
export function ticks(view, most) {
  const span = Math.max(1, view.to - view.from);
  let step = 1;
  for (let power = 1; ; power *= 10) {
    const found = NICE.map((nice) => nice * power).find((each) => span / each <= most);
    if (found) {
      step = found;
      break;
    }
  }
  const times = [];
  for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
    times.push(time);
  }
  return times;
}

// "0.25 s", "12 s", "3:20", "1:02:03": as short as the distance between ticks allows.
export function tickLabel(time, step) {
  if (step < 1000) return `${(time / 1000).toFixed(step < 10 ? 3 : step < 100 ? 2 : 1)} s`;
  const seconds = Math.round(time / 1000);
  if (seconds < 60 && seconds > -60) return `${seconds} s`;
  const rest = String(seconds % 60).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

const LETTER = 6.4; // pixels of width, on the average, of the size that the picture writes in

// Whether a text that begins there is cut by the picture's right edge.
export function isCut(x, text, width) {
  return x + text.length * LETTER > width;
}

// Above each band its words: to its left where the right edge would cut them, and none where
// those of a later one stand. `shift` is how far the picture has moved.
export function wordsAbove(spans, shift, width) {
  const found = new Map();
  let free = Infinity;
  for (const span of [...spans].sort((one, other) => other.x - one.x)) {
    const end = span.x + span.width + 3;
    const left = isCut(end + shift, span.words, width);
    const from = left ? span.x - 3 - span.words.length * LETTER : end;
    const room = (left ? span.x - 3 : end + span.words.length * LETTER) <= free;
    found.set(span, { x: left ? span.x - 3 : end, anchor: left ? "end" : "start", words: room ? span.words : "" });
    if (room) free = from;
  }
  return spans.map((span) => found.get(span));
}

// `factor` below 1 shows less; the time at share `at` of the width stays where it is.
export function zoom(view, factor, at, now) {
  const span = view.to - view.from;
  const wanted = Math.min(Math.max(span * factor, SHORTEST_WINDOW), Math.max(now * 1.1, 20000));
  const pivot = view.from + span * at;
  return { from: pivot - wanted * at, to: pivot + wanted * (1 - at) };
}

export function pan(view, share) {
  const shift = (view.to - view.from) * share;
  return { from: view.from + shift, to: view.to + shift };
}

// The same span, with the present at its right, a little before the edge.
export function follow(view, now) {
  const span = view.to - view.from;
  const to = Math.max(now + span * 0.03, span);
  return { from: to - span, to };
}

export function fit(now) {
  return { from: 0, to: Math.max(now * 1.03, 1000) };
}

// Segments as objects, with what goes on ended at `now`. In a replay `now` is the slider:
// what began later is not there, what lasted longer is cut.
export function segmentsUntil(model, now) {
  const timeline = model.state.timeline ?? {};
  const open = Object.values(timeline.open ?? {});
  const found = [];
  for (const rows of [model.lists.segments, open]) {
    for (const [lane, state, start, end, label, session] of rows) {
      if (start > now) continue;
      const goesOn = end < 0 || end > now;
      found.push({ lane, state, start, end: goesOn ? now : end, label, session, goesOn });
    }
  }
  return found;
}

export function marksUntil(model, now) {
  return model.lists.marks
    .filter((mark) => mark[2] <= now)
    .map(([lane, kind, time, label]) => ({ lane, kind, time, label }));
}

// A row per lane, from top to bottom; belief lanes have a sub-row per believer, because
// several may believe at once.
export function laneRows(lanes, segments, rowHeight) {
  const believers = new Map();
  for (const each of segments) {
    if (!each.label || each.state === MERGED) continue;
    if (!believers.has(each.lane)) believers.set(each.lane, []);
    const known = believers.get(each.lane);
    if (!known.includes(each.label)) known.push(each.label);
  }
  const rows = [];
  let top = 0;
  for (const [lane, role] of lanes) {
    const labels = role === "truth" ? (believers.get(lane) ?? []).slice().sort() : [];
    const shared = lane === "thinks it leads" || lane === "a client sees";
    const parts = shared ? Math.max(1, labels.length) : 1;
    const height = parts > 1 ? parts * SUB_ROW + 4 : rowHeight;
    rows.push({ lane, role, top, height, labels: shared ? labels : [], parts });
    top += height + (role === "truth" ? 2 : 4);
  }
  return { rows, height: top };
}

// Where a segment lies within its row.
export function placeIn(row, segment) {
  const gap = 2;
  const part = Math.max(0, row.labels.indexOf(segment.label));
  const height = (row.height - gap * 2) / row.parts;
  return { y: row.top + gap + part * height, height: Math.max(2, height - (row.parts > 1 ? 1 : 0)) };
}

// Places are counted from `view.base`, which stays while a view moves, so that what has not
// changed need not be drawn again; the whole picture is shifted by `offset`.
export function offset(view, width) {
  return (view.base - view.from) * scaleOf(view, width);
}

// Far from its base a picture would be drawn with too few digits.
export function rebase(view, width, span) {
  const far = Math.abs(offset({ ...view, base: view.base ?? 0 }, width)) > FARTHEST;
  const zoomed = Math.abs((view.drawnSpan ?? span) - span) > span * 1e-9;
  if (view.base === undefined || far || zoomed) view.base = view.from;
  view.drawnSpan = span;
}

// The rects of a view: only what is visible; neighbours too narrow to be seen are one. Never
// more than `most`: the least width grows until it is so.
export function rectsOf(segments, rows, view, width, most) {
  const scale = scaleOf(view, width);
  const visible = segments
    .filter((each) => each.end >= view.from && each.start <= view.to)
    .sort((one, other) => one.start - other.start);
  for (let least = 2; ; least *= 2) {
    const rects = pass(visible, rows, view, scale, least);
    if (rects.length <= most || least > width) return rects.slice(-most);
  }
}

function pass(segments, rows, view, scale, least) {
  const byLane = new Map(rows.map((row) => [row.lane, row]));
  const pending = new Map();
  const rects = [];
  for (const segment of segments) {
    const row = byLane.get(segment.lane);
    if (!row) continue;
    const place = placeIn(row, segment);
    const line = `${segment.lane} ${row.parts > 1 ? segment.label : ""}`;
    const narrow = (segment.end - segment.start) * scale < least && !segment.goesOn;
    // By places on the axis, not by neighbours: panning must not join them differently.
    const bucket = Math.floor((segment.start * scale) / (2 * least));
    const before = pending.get(line);
    if (narrow && before && before.narrow && before.bucket === bucket) {
      before.end = Math.max(before.end, segment.end);
      before.count += 1;
      continue;
    }
    const rect = { ...segment, ...place, narrow, bucket, count: 1, key: `${line} ${segment.start}` };
    pending.set(line, rect);
    rects.push(rect);
  }
  for (const rect of rects) {
    if (rect.count > 1) {
      rect.state = MERGED;
      rect.label = `${rect.count} states, too short to be shown at this zoom`;
    }
    rect.x = (rect.start - view.base) * scale;
    rect.width = Math.max(1, (rect.end - rect.start) * scale);
  }
  return rects;
}

// Marks of one kind and lane that would cover each other become one, with a count.
export function thinMarks(marks, view, width, distance, most) {
  const scale = scaleOf(view, width);
  const last = new Map();
  const kept = [];
  for (const mark of marks) {
    if (mark.time < view.from || mark.time > view.to) continue;
    const line = `${mark.lane} ${mark.kind}`;
    const before = last.get(line);
    const close = before && (mark.time - before.time) * scale < distance;
    if (close && mark.kind === "checkpoint") {
      before.count += 1;
      continue;
    }
    const one = { ...mark, count: 1, x: (mark.time - view.base) * scale };
    last.set(line, one);
    kept.push(one);
  }
  return kept.slice(-most);
}

export function textFits(text, width) {
  return text.length * LETTER + 8 < width;
}

// "03:12:44": the kernel's clock, which `wall` tells for the start, `time` milliseconds later.
export function clock(wall, time) {
  return wall ? new Date(wall + time).toISOString().slice(11, 19) : "";
}

export function seconds(time) {
  return `${(time / 1000).toFixed(3)} s`;
}
