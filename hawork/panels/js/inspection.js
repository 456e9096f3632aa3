// What the HA data says: what a JobManager would do with it, and what is wrong.

import { el, keyed, put, say } from "./dom.js";

export function inspectionView() {
  const note = el("p", { class: "hw-note" });
  const about = el("p", { class: "hw-note" });
  const words = el("strong", {});
  const told = el("span", {});
  const verdict = el("p", { class: "hw-verdict", role: "status" }, words, " ", told);
  const leader = el("ul", { class: "hw-told", "aria-label": "Who leads" });
  const heads = el("tr", {});
  const body = el("tbody", {});
  const table = el("table", { class: "hw-table" }, el("thead", {}, heads), body);
  const findings = el("div", { role: "group", "aria-label": "Findings" });
  const missed = el("ul", { class: "hw-told", "aria-label": "Not looked at" });
  const root = el("div", {}, note, about, verdict, leader,
    el("div", { class: "hw-scroll", tabindex: "0" }, table), findings, missed);

  function update(model) {
    const found = model.state.inspection ?? {};
    say(note, found.error || found.note || (found.words ? "" : "Looking at the HA data."));
    say(about, found.summary ?? "");
    say(words, found.words ? `${found.words}.` : "");
    say(told, found.verdict ?? "");
    put(verdict, "data-severity", found.how);
    lines(leader, found.leader ?? []);
    put(table, "hidden", !found.rows?.length);
    keyed(heads, found.head ?? [], (name) => el("th", { scope: "col" }, name), () => {});
    const rows = new Map((found.rows ?? []).map((row) => [row[1], row]));
    keyed(body, [...rows.keys()], () => el("tr", {}, ...(found.head ?? []).map(() => el("td", {}))),
      (row, id) => rows.get(id).forEach((cell, at) => say(row.children[at], cell)));
    keyed(findings, found.order ?? [], findingRow, (row, key) => row.show(found.findings[key]));
    lines(missed, (found.missed ?? []).map((each) => `not looked at: ${each}`));
  }

  return { root, title: "Inspection", update };
}

function lines(list, texts) {
  keyed(list, [...new Set(texts)], (text) => el("li", {}, text), () => {});
}

function findingRow() {
  const head = el("summary", {});
  const parts = el("dl", {});
  const row = el("details", { class: "hw-finding" }, head, parts);
  row.show = (finding) => {
    put(row, "data-severity", finding.severity);
    put(row, "data-code", finding.code);
    say(head, `${finding.code} ${finding.severity}: ${finding.title}`);
    const said = finding.parts.filter(([, texts]) => texts.some(Boolean));
    keyed(parts, said.map(([word]) => word),
      (word) => el("div", {}, el("dt", {}, word), el("dd", {})),
      (part, word) => say(part.lastChild, said.find(([each]) => each === word)[1].join("\n")));
  };
  return row;
}
