// Where a panel begins: it finds the hub, keeps its own copy of the state, and draws when the
// browser has time. Several panels in one place share one copy.

import { adoptKeyframe, applyDelta, emptyModel, isClosed, lastMoment, stateAt } from "./state.js";
import { put } from "./dom.js";
import { docked } from "./dock.js";
import { frameOf } from "./frame.js";
import { outbox } from "./requests.js";
import { clusterView } from "./cluster.js";
import { timelineView } from "./timeline.js";
import { jobsView } from "./jobs.js";
import { storeView } from "./store.js";
import { stepperView } from "./stepper.js";
import { inspectionView } from "./inspection.js";
import { missing, outdated, stillView, stopped } from "./still.js";

const VIEWS = {
  cluster: clusterView,
  timeline: timelineView,
  jobs: jobsView,
  store: storeView,
  stepper: stepperView,
  inspection: inspectionView,
};
const ASK_AGAIN = 1000;

// A panel that cannot be live says so, and shows what it can.
async function render({ model: panel, el: host }) {
  let close = () => {};
  const still = (why) => {
    close();
    host.textContent = "";
    close = stillView(panel, host, why);
  };
  const fail = (error) => {
    console.error(error);
    still(stopped(error));
  };
  host.classList.add("hw-host");
  const lacking = missing();
  if (lacking.length) {
    still(outdated(lacking));
  } else {
    try {
      close = await liveView(panel, host, fail);
    } catch (error) {
      fail(error);
    }
  }
  return () => close();
}

async function liveView(panel, host, fail) {
  const id = panel.get("hub").replace("IPY_MODEL_", "");
  const hub = await panel.widget_manager.get_model(id);
  const model = emptyModel();
  model.received = performance.now();
  model.recorded = panel.get("replay");
  model.replay = model.recorded;
  // For what a view does later, by a timer of its own: an error would be lost.
  model.guarded = (work) => () => {
    try {
      work();
    } catch (error) {
      fail(error);
    }
  };
  const send = (request) => hub.send(request);
  const requests = outbox(send);
  const views = panel.get("panels").map((name) => ({ name, ...VIEWS[name](requests.ask, model) }));
  const frame = frameOf(views);
  const leave = panel.get("beside") ? docked(host, frame.root, model.guarded) : null;
  if (!leave) host.append(frame.root);

  let scheduled = 0;
  const draw = () => {
    scheduled = 0;
    requests.heard(model.state.requests?.taken);
    // A lab that is closed has left all of its moments: from then on it is a recorded run.
    model.replay ||= Boolean(model.state.moments);
    if (isClosed(model)) requests.close(); // nothing takes them any more
    // The timeline cuts a recorded run by itself; all else is shown as it was at that moment.
    const then = model.replay
      ? { ...model, state: stateAt(model, model.cursor ?? lastMoment(model)) } : model;
    frame.update(then);
    for (const view of views) view.update(view.name === "timeline" ? model : then);
    put(frame.root, "data-seq", model.seq);
  };
  const tryToDraw = model.guarded(draw);
  const schedule = () => {
    if (!scheduled) scheduled = requestAnimationFrame(tryToDraw);
  };

  model.moved = (cursor) => {
    if (cursor === model.cursor) return;
    model.cursor = cursor;
    schedule();
  };

  let asked = -ASK_AGAIN;
  const onMessage = (message) => {
    const result = applyDelta(model, message);
    if (result === "applied") {
      model.received = performance.now();
      schedule();
    } else if (result === "gap" && performance.now() - asked > ASK_AGAIN) {
      asked = performance.now();
      send({ do: "keyframe" });
    }
  };
  const onKeyframe = () => {
    const keyframe = hub.get("keyframe");
    if (keyframe?.seq === undefined) return;
    model.received = performance.now();
    adoptKeyframe(model, keyframe);
    schedule();
  };
  // The kernel is gone: what is shown stays, and says so.
  const onLife = () => {
    model.orphaned = hub.comm_live === false;
    if (model.orphaned) requests.close();
    schedule();
  };
  hub.on("msg:custom", onMessage);
  hub.on("change:keyframe", onKeyframe);
  hub.on("comm_live_update", onLife);
  onKeyframe();
  if (!model.recorded && !model.state.life?.closed) send({ do: "keyframe" });

  return () => {
    hub.off("msg:custom", onMessage);
    hub.off("change:keyframe", onKeyframe);
    hub.off("comm_live_update", onLife);
    cancelAnimationFrame(scheduled);
    requests.close();
    leave?.();
    for (const view of views) view.close?.();
  };
}

export default { render };
