// A row for each job: how far it is, what it goes back to, how it ended.

import { button, el, enable, keyed, put, say } from "./dom.js";
import { isClosed } from "./state.js";

const COLUMNS = ["job", "state", "progress", "checkpoints", "restarts", "action"];

export function jobsView(send, model) {
  const note = el("p", { class: "hw-note" });
  const body = el("tbody", {});
  const heads = COLUMNS.map((name) => el("th", { scope: "col" }, name));
  const table = el("table", { class: "hw-table hw-jobs" }, el("thead", {}, el("tr", {}, ...heads)), body);
  const root = el("div", {}, note, el("div", { class: "hw-scroll", tabindex: "0" }, table));

  function update(model) {
    const jobs = model.state.jobs ?? {};
    const order = jobs.order ?? [];
    say(note, jobs.error || (isClosed(model) ? "" : jobs.note) || (order.length ? "" : "No job was submitted yet."));
    const fixed = model.replay || jobs.cancel === false;
    const closed = isClosed(model);
    // Nothing can ever be done to a recorded job, and a narrow page needs the room.
    const bare = Boolean(model.recorded) || jobs.cancel === false;
    put(heads.at(-1), "hidden", bare);
    keyed(body, order, (id) => jobRow(id, send, fixed),
      (row, id) => row.show(jobs.jobs[id], closed, bare));
  }

  return { root, title: "Jobs", update };
}

function jobRow(id, send, fixed) {
  const cells = COLUMNS.map((_, at) => el(at ? "td" : "th", at ? {} : { scope: "row" }));
  const bar = el("progress", { max: "1" });
  const count = el("span", {});
  cells[2].append(bar, count);
  const cancel = button("Cancel", () => send({ do: "cancel", job: id }), { "data-verb": "cancel" });
  if (!fixed) cells[5].append(cancel);
  const row = el("tr", { "data-job": id }, ...cells);
  row.show = (job, closed, bare) => {
    put(cells.at(-1), "hidden", bare);
    put(row, "data-status", job.status);
    put(row, "data-stale", job.stale ? "true" : null);
    say(cells[0], job.name);
    put(cells[0], "title", id);
    const status = job.stale ? `not known (${job.status} at ${job.stale})` : job.status;
    say(cells[1], [status, job.result, job.failure].filter(Boolean).join(" · "));
    const known = job.expected || (job.ended && job.records);
    put(bar, "aria-label", `Progress of ${job.name}`);
    put(bar, "hidden", !known);
    if (known) put(bar, "value", Math.min(1, job.records / (job.expected || job.records)).toFixed(3));
    const rate = job.rate ? `, ${job.rate.toLocaleString("en")} per second` : "";
    say(count, `${job.records.toLocaleString("en")} records${rate}`);
    const done = job.latest === undefined ? String(job.checkpoints)
      : `${job.checkpoints} by this leader, the last is ${job.latest}`;
    say(cells[3], job.restored === undefined ? done : `${done}; restored from ${job.restored}`);
    say(cells[4], String(job.restarts));
    put(cancel, "aria-label", `Cancel ${job.name}`);
    enable(cancel, !job.ended && !job.stale && !closed);
  };
  return row;
}
