// Around the views: tabs where there are many, what was asked for and became of it, the newest
// news, and the views below them, so that the effect of a button is seen beside it.

import { el, keyed, newId, ownKeys, put, say } from "./dom.js";
import { isClosed } from "./state.js";

const MOST_IN_SIGHT = 3;
const TOGETHER = ["cluster", "timeline"];

export function frameOf(views) {
  const id = newId("frame");
  const answer = el("p", { class: "hw-answer", role: "status" });
  const news = el("ol", { class: "hw-news", "aria-live": "polite", "aria-label": "What happened" });
  const trouble = el("p", { class: "hw-trouble", role: "status" });
  const said = el("div", { class: "hw-said" }, trouble, answer, news);
  const sections = views.map((view) =>
    el("section", { class: "hw-panel", "data-panel": view.name, "aria-label": view.title },
      el("h3", { class: "hw-title" }, view.title), view.root));
  const root = el("div", { class: "hw-frame" });
  if (views.length > MOST_IN_SIGHT) root.append(...tabbed(views, sections, said, id));
  else root.append(said, ...sections);
  ownKeys(root);

  function update(model) {
    const { answer: done, life, news: told, end } = model.state;
    put(root, "data-life", model.orphaned ? "orphaned" : life?.closed ? "closed" : "live");
    say(trouble, model.orphaned ? "The kernel has ended: this is what was seen last."
      : isClosed(model) ? end?.note ?? "" : model.state.trouble?.text ?? "");
    if (done?.number) {
      say(answer, done.ok ? `${done.text} was done` : done.text);
      put(answer, "data-ok", String(done.ok));
    }
    const lines = told?.lines ?? [];
    keyed(news, lines.map(([time, text]) => `${time} ${text}`), (line) => el("li", {}, line),
      () => {});
  }

  return { root, update };
}

// What belongs together is one page: what a button of a card does is seen on the timeline.
function tabbed(views, sections, said, id) {
  const pages = [];
  views.forEach((view, at) => {
    const page = TOGETHER.includes(view.name) && pages.find((each) => each.names[0] === TOGETHER[0]);
    if (page) {
      page.names.push(view.name);
      page.title += ` and ${view.title.toLowerCase()}`;
      page.sections.push(sections[at]);
    } else {
      pages.push({ names: [view.name], title: view.tab ?? view.title, sections: [sections[at]] });
    }
  });
  const list = el("div", { class: "hw-tabs", role: "tablist", "aria-label": "Panels" });
  const bodies = pages.map((page, at) => el("div", {
    class: "hw-page", role: "tabpanel", id: `${id}-page-${at}`, "aria-labelledby": `${id}-tab-${at}`,
  }, ...page.sections));
  const tabs = pages.map((page, at) => el("button", {
    type: "button", class: "hw-tab", role: "tab", id: `${id}-tab-${at}`, "data-tab": page.names[0],
    "aria-controls": `${id}-page-${at}`, onclick: () => show(at),
  }, page.title));
  list.append(...tabs);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    show(at);
    tabs[at].focus();
    event.preventDefault();
    event.stopPropagation();
  });

  function show(chosen) {
    tabs.forEach((tab, at) => {
      put(tab, "aria-selected", String(at === chosen));
      put(tab, "tabindex", at === chosen ? "0" : "-1");
      put(bodies[at], "hidden", at !== chosen);
    });
  }
  show(0);
  return [list, said, ...bodies];
}
