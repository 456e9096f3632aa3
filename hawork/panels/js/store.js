// Rows of the HA store and files of storageDir; what has just changed is marked.

import { button, el, elided, keyed, put, say } from "./dom.js";
import { isClosed } from "./state.js";

const FRESH = 4000;

export function storeView() {
  const note = el("p", { class: "hw-note" });
  const trouble = el("ul", { class: "hw-alarm", role: "status", "aria-label": "What is wrong" });
  const [rows, rowsBody] = tableOf("HA store", ["entry", "says", "version, and its file"]);
  const [files, filesBody] = tableOf("storageDir", ["file", "says", "size, and its pointer"]);
  const root = el("div", {}, note, trouble, rows, files);
  let timer = 0;

  function update(model) {
    const store = model.state.store ?? {};
    say(note, isClosed(model) ? "" : store.error || store.note || (store.rows ? "" : "Looking …"));
    put(trouble, "hidden", !store.trouble?.length);
    keyed(trouble, store.trouble ?? [], (sentence) => el("li", {}, `⚠ ${sentence}`), () => {});
    const known = store.rows ?? {};
    const gone = store.gone ?? {};
    // By the clock of the kernel's last message, so that two machines need not agree.
    const latest = Math.max(0, ...[...Object.values(known), ...Object.values(gone)].map((row) => row[7]));
    if (latest > (root.latest ?? 0)) {
      root.latest = latest;
      root.seen = performance.now();
    }
    const age = performance.now() - (root.seen ?? -Infinity);
    const order = [...(store.order ?? []).filter((key) => known[key]), ...Object.keys(gone)];
    for (const [kind, body] of [["row", rowsBody], ["file", filesBody]]) {
      const keys = order.filter((key) => (known[key] ?? gone[key])[0] === kind);
      keyed(body, keys, storeRow(root), (element, key) => {
        const row = known[key] ?? gone[key];
        const fresh = row[7] > 0 && latest - row[7] + age < FRESH;
        element.show(row, gone[key] ? "gone" : fresh ? "changed" : null);
      });
    }
    clearTimeout(timer);
    if (age < FRESH) timer = setTimeout(model.guarded(() => update(model)), FRESH - age + 50);
  }

  return { root, title: "HA store and storageDir", tab: "HA store", update, close: () => clearTimeout(timer) };
}

function tableOf(caption, columns) {
  const body = el("tbody", {});
  const table = el("table", { class: "hw-table hw-rows" }, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...columns.map((name) => el("th", { scope: "col" }, name)))), body);
  return [el("div", { class: "hw-scroll", tabindex: "0" }, table), body];
}

function storeRow(root) {
  return (key) => {
    const [place, name] = [el("span", { class: "hw-place" }), el("span", { class: "hw-name" })];
    const [value, version] = [el("span", { class: "hw-value" }), el("span", { class: "hw-version" })];
    const verdict = el("span", { class: "hw-verdict" });
    const link = button("", () => {
      const target = [...root.querySelectorAll("tr[data-key]")]
        .find((row) => row.dataset.key === `file ${link.dataset.link}`);
      target?.scrollIntoView({ block: "nearest" });
      target?.focus();
    }, { class: "hw-link" });
    const row = el("tr", { "data-key": key, tabindex: "-1" },
      el("td", {}, place, name), el("td", {}, value), el("td", {}, version, link, verdict));
    row.show = ([, of, called, count, text, path, said], change) => {
      put(row, "data-change", change);
      put(row, "data-good", said && !said.endsWith(" verified") && said !== "nothing points to it" ? "false" : null);
      const mark = { gone: "− ", changed: "● " }[change] ?? "";
      say(place, of);
      say(name, mark + elided(called));
      put(name, "title", called);
      say(version, count);
      say(value, elided(text));
      put(value, "title", text);
      put(link, "hidden", !path);
      put(link, "data-link", path);
      put(link, "title", path);
      say(link, path ? `→ ${elided(path.split("/").pop())}` : "");
      say(verdict, said);
      put(verdict, "data-good", said ? String(said.endsWith(" verified")) : null);
    };
    return row;
  };
}
