// The protocol as a sequence of steps; where a process stands is lit.

import { button, el, elided, enable, keyed, put, say } from "./dom.js";
import { isClosed } from "./state.js";

const RECENT = 1500;
const ACTIONS = [["hold", "hold there"], ["pause", "pause the process there"],
  ["crash", "crash the process there"]];
const SIGN = { "+": "came", "-": "went", "~": "changed" };

export function stepperView(send, model) {
  const action = choice("What an armed step does", ACTIONS);
  const who = choice("Who is armed", [["", "the first that comes"]]);
  const disarm = button("Disarm all", () => send({ do: "disarm" }), { "data-verb": "disarm" });
  const armed = el("p", { class: "hw-note" });
  const note = el("p", { class: "hw-note" });
  const held = el("div", { class: "hw-held", role: "group", "aria-label": "Who stands at a step" });
  const head = el("div", { class: "hw-lanes-row" });
  const heading = el("div", { class: "hw-actors", "aria-hidden": "true" }, el("span", {}), head);
  const steps = el("ol", { class: "hw-steps" });
  const difference = el("div", { class: "hw-difference", tabindex: "0" });
  const root = el("div", {},
    el("div", { class: "hw-toolbar", role: "group", "aria-label": "Arm a step" }, action, who, disarm),
    armed, note, held, el("div", { class: "hw-scroll hw-tall", tabindex: "0" }, heading, steps), difference);
  const arm = (step) => send({ do: "arm", step, action: action.value, target: who.value });
  let timer = 0;

  function update() {
    const stepper = model.state.stepper;
    const closed = isClosed(model);
    enable(disarm, !closed);
    for (const each of [action, who]) put(each, "disabled", closed);
    if (!stepper?.steps) return;
    const standing = stepper.held ?? [];
    say(note, closed ? "" : stepper.error || stepper.note || "");
    say(armed, stepper.armed?.length ? `Armed: ${stepper.armed.join("; ")}` : "Nothing is armed.");
    keyed(who, ["", ...stepper.processes], (name) => el("option", { value: name }),
      (option, name) => say(option, name || "the first that comes"));
    keyed(head, stepper.actors, (name) => el("span", {}, name), () => {});
    keyed(held, standing.map(([process, step]) => `${process} ${step}`),
      (key) => heldRow(key, send), (row) => row.show(stepper.paused ?? []));
    const order = stepper.steps.map(([name]) => name);
    const columns = new Map(stepper.actors.map((name, at) => [name, at + 1]));
    let recent = false;
    keyed(steps, order, (name) => stepRow(stepper.steps[order.indexOf(name)], columns, arm),
      (row, name) => {
        const process = standing.find(([, step]) => step === name)?.[0];
        const [times, by, at] = stepper.reached?.[name] ?? [0, "", 0];
        const fresh = times > 0 && model.now + (performance.now() - model.received) - at < RECENT;
        recent ||= fresh;
        row.show(process, times, by, fresh, stepper.armed?.some((each) => each.includes(` ${name} `)),
          closed);
      });
    showDifference(difference, stepper.difference ?? {});
    clearTimeout(timer);
    if (recent && root.isConnected) timer = setTimeout(model.guarded(update), RECENT);
  }

  return { root, title: "Stepper", update, close: () => clearTimeout(timer) };
}

function choice(label, values) {
  return el("select", { "aria-label": label },
    ...values.map(([value, text]) => el("option", { value }, text)));
}

function heldRow(key, send) {
  const [process, step] = key.split(" ");
  const act = (label, verb, request) => button(label, () => send(request), {
    "data-verb": verb, "aria-label": `${label}: ${process} at ${step}`,
  });
  const pause = act("Pause here", "pause", { do: "pause", target: process });
  const resume = act("Resume", "resume", { do: "resume", target: process });
  const row = el("div", { class: "hw-stands", "data-step": step, "data-process": process },
    el("strong", {}, `${process} stands at ${step}`),
    act("Continue", "proceed", { do: "proceed" }),
    act("Crash here", "kill", { do: "kill", target: process }), pause, resume);
  row.show = (paused) => {
    enable(pause, !paused.includes(process));
    enable(resume, paused.includes(process));
  };
  return row;
}

function stepRow([name, meaning, from, to], columns, arm) {
  const [start, end] = [columns.get(from), columns.get(to)];
  const arrow = el("span", { class: "hw-arrow" });
  put(arrow, "data-way", start === end ? "self" : start < end ? "right" : "left");
  arrow.style.gridColumn = start === end ? `${start}` : `${Math.min(start, end)} / ${Math.max(start, end) + 1}`;
  const count = el("span", { class: "hw-count" });
  const here = el("span", { class: "hw-here" });
  const armIt = button("Arm", () => arm(name), { "aria-label": `Arm ${name}`, "data-verb": "arm" });
  const row = el("li", { "data-step": name },
    el("span", { class: "hw-step-head" }, armIt, el("code", {}, name), here, count,
      el("span", { class: "hw-route" }, start === end ? from : `${from} → ${to}`),
      el("span", { class: "hw-meaning" }, meaning)),
    el("span", { class: "hw-lanes-row", "aria-hidden": "true" }, arrow));
  row.show = (process, times, by, fresh, armed, closed) => {
    enable(armIt, !closed);
    put(row, "data-lit", process ? "now" : fresh ? "recent" : null);
    put(row, "aria-current", process ? "step" : null);
    put(row, "data-armed", armed ? "true" : null);
    say(here, process ? `● ${process} stands here` : armed ? "armed" : "");
    say(count, times ? `${times}×, last by ${by}` : "");
  };
  return row;
}

function showDifference(box, { at, since, changes }) {
  const key = JSON.stringify([at, since, changes]);
  if (box.shownKey === key) return;
  box.shownKey = key;
  box.replaceChildren();
  if (!at) return;
  put(box, "data-at", at);
  box.append(el("h4", {}, `What the HA store and storageDir say, against ${since}`));
  if (!changes?.length) {
    box.append(el("p", {}, "Nothing has changed."));
    return;
  }
  const rows = changes.map(([sign, place, name, value]) =>
    el("tr", { "data-sign": sign }, el("td", {}, `${sign} ${SIGN[sign] ?? ""}`), el("td", {}, place),
      el("td", { title: name }, elided(name)),
      el("td", {}, el("span", { class: "hw-value", title: value }, value))));
  box.append(el("table", { class: "hw-table hw-rows" }, el("tbody", {}, ...rows)));
}
