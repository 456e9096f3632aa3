// What a view knows, and how messages change it. No browser here: tests run it in node.

const LISTS = ["segments", "marks"];

export function emptyModel() {
  return { seq: -1, now: 0, synced: false, state: {}, lists: { segments: [], marks: [] } };
}

// A JSON merge patch (RFC 7396): null removes, objects are merged, everything else replaces.
export function applyPatch(target, patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      delete target[key];
    } else if (isPlain(value) && isPlain(target[key])) {
      applyPatch(target[key], value);
    } else {
      target[key] = value;
    }
  }
  return target;
}

function isPlain(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Says whether anything is new. A keyframe older than what is known is left alone.
export function adoptKeyframe(model, keyframe) {
  if (!keyframe || keyframe.seq === undefined) return false;
  if (model.synced && keyframe.seq < model.seq) return false;
  const news = !model.synced || keyframe.seq !== model.seq;
  model.seq = keyframe.seq;
  model.synced = true;
  model.now = keyframe.now;
  // The widget's own copy must not change when patches come.
  model.state = structuredClone(keyframe.state);
  for (const name of LISTS) model.lists[name] = [...(keyframe.lists[name] ?? [])];
  return news;
}

// The state of a recorded run as it was known at `time`. Patches are applied in their order from
// the last moment that was asked for, or from the start when that was later.
export function stateAt(model, time) {
  const patches = model.state.moments?.patches ?? [];
  let at = model.moment;
  if (!at || at.patches !== patches || (at.next > 0 && patches[at.next - 1][0] > time)) {
    at = { patches, next: 0, state: {} };
  }
  while (at.next < patches.length && patches[at.next][0] <= time) {
    // What is kept of a patch is changed by later ones, and it may be wanted again.
    applyPatch(at.state, structuredClone(patches[at.next][1]));
    at.next += 1;
  }
  model.moment = at;
  return { ...model.state, ...at.state };
}

// Whether the lab, or the view of a cluster, was closed while we looked: nothing hears a button any
// more. What was a recorded run from the beginning has none.
export function isClosed(model) {
  return !model.recorded && Boolean(model.state.life?.closed);
}

// Where a replay begins: a lab that was closed as it was just before, a recorded run at its end.
export function lastMoment(model) {
  return model.state.life?.at ?? model.now;
}

// "applied", or "gap": something was missed, and only a keyframe can help.
export function applyDelta(model, message) {
  if (!model.synced || message.seq !== model.seq + 1) {
    if (model.synced && message.seq <= model.seq) return "known";
    model.synced = false;
    return "gap";
  }
  model.seq = message.seq;
  model.now = message.now;
  applyPatch(model.state, message.patch ?? {});
  for (const name of LISTS) model.lists[name].push(...(message.append?.[name] ?? []));
  return "applied";
}
