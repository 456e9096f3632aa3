// The timeline's buttons, and the slider of a replay.

import { button, el, put, say } from "./dom.js";
import { fit, pan, seconds, zoom } from "./layout.js";
import { lastMoment } from "./state.js";

const PLAY_STEP = 50;

export function toolbar(view, model, { now, change, id }) {
  let playing = 0;
  let slider = null;
  let play = null;
  const following = button("Follow", () => follow(!view.following), { "aria-pressed": "true" });
  const buttons = [
    button("Zoom in", () => move(zoom(view, 0.5, 0.5, now()))),
    button("Zoom out", () => move(zoom(view, 2, 0.5, now()))),
    button("◀", () => move(pan(view, -0.25)), { "aria-label": "Earlier" }),
    button("▶", () => move(pan(view, 0.25)), { "aria-label": "Later" }),
    button("Whole run", () => move(fit(model.now)), { "data-act": "whole" }),
  ];
  const help = el("span", { class: "hw-help", id: `${id}-keys` },
    "Keys: arrows go from state to state, + and − zoom, Shift+arrows move, Home shows all, Space pauses.");
  const root = el("div", { class: "hw-toolbar", role: "toolbar", "aria-label": "Timeline" });
  const clock = el("output", { class: "hw-clock" });
  root.append(following, ...buttons, clock, help);

  function move(wanted) {
    view.following = false;
    view.from = wanted.from;
    view.to = wanted.to;
    change();
  }

  function follow(wanted) {
    view.following = wanted && !model.replay;
    change();
  }

  function update(present) {
    if (model.replay && !slider) following.replaceWith(...replayControls());
    if (model.replay && view.cursor === null) {
      view.following = false;
      view.cursor = lastMoment(model);
      Object.assign(view, fit(model.now));
      change();
      return;
    }
    put(following, "aria-pressed", String(view.following));
    say(following, view.following ? "Following" : "Follow");
    say(clock, seconds(present));
    if (slider) {
      put(slider, "max", Math.ceil(model.now));
      slider.value = String(Math.round(present));
      put(slider, "aria-valuetext", seconds(present));
    }
  }

  function replayControls() {
    slider = el("input", {
      type: "range", min: "0", step: "1", max: "1", class: "hw-slider",
      "aria-label": "Moment of the recorded run",
    });
    slider.addEventListener("input", () => {
      view.cursor = Number(slider.value);
      change();
    });
    play = button("Play", () => (playing ? stop() : start()), { "data-act": "play" });
    return [play, slider];
  }

  function start() {
    if (view.cursor >= model.now) view.cursor = 0;
    const began = performance.now() - view.cursor;
    say(play, "Stop");
    playing = setInterval(model.guarded(() => {
      view.cursor = Math.min(performance.now() - began, model.now);
      if (view.cursor >= model.now || !root.isConnected) stop();
      change();
    }), PLAY_STEP);
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    say(play, "Play");
  }

  return { root, update, move, follow, stop };
}
