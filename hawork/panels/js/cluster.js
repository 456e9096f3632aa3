// A card for each process and for the HA store; who leads is said at the top and on the card.

import { button, el, enable, keyed, put, say, short } from "./dom.js";

export function clusterView(send) {
  const headline = el("p", { class: "hw-headline" });
  const cards = el("div", { class: "hw-cards" });
  const root = el("div", {}, headline, cards);

  function update(model) {
    const cluster = model.state.cluster;
    if (!cluster?.cards) return;
    put(root, "data-leader", cluster.leader || "");
    say(headline, headlineOf(cluster));
    const names = [...(cluster.order ?? []), "HA store"];
    keyed(cards, names, (name) => card(name, send), (element, name) => {
      element.show(name === "HA store" ? storeCard(cluster.store) : cluster.cards[name]);
    });
  }

  return { root, title: "Cluster", update };
}

function headlineOf(cluster) {
  if (cluster.note) return cluster.note;
  if (cluster.leader) {
    return `★ ${cluster.leader} leads · session ${short(cluster.session)} · ${cluster.address}`;
  }
  return cluster.session ? `★ a leader at ${cluster.address}` : "There is no leader now.";
}

function storeCard(store) {
  const facts = [["type", store.kind], ["says who leads", store.publishes], ...(store.facts ?? [])];
  return { role: "store", state: store.state, leads: false, buttons: store.buttons, facts };
}

function card(name, send) {
  const title = el("strong", {}, name);
  const badge = el("span", { class: "hw-badge" });
  const state = el("span", { class: "hw-state" });
  const facts = el("dl", { class: "hw-facts" });
  const row = el("div", { class: "hw-buttons" });
  const root = el("section", { class: "hw-card", "data-name": name, role: "group" },
    el("div", { class: "hw-card-head" }, title, badge, state), facts, row);

  root.show = (shown) => {
    put(root, "data-state", shown.state);
    put(root, "data-leads", shown.leads ? "true" : null);
    put(root, "aria-label", `${name}, ${shown.leads ? "the leader, " : ""}${shown.state}`);
    say(badge, shown.leads ? "★ leader" : "");
    say(state, shown.state);
    const all = shown.facts.filter(([key]) => !(shown.leads && key === "address")); // it is above
    if (shown.pid) all.unshift(["pid", String(shown.pid)]);
    if (shown.session) all.splice(1, 0, ["session id", shown.session]);
    keyed(facts, all.map(([key]) => key), factRow, (element, key) => {
      const value = all.find(([each]) => each === key)[1];
      say(element.lastChild, key === "session id" ? `${short(value)}…` : value);
      put(element.lastChild, "title", value);
      put(element, "data-fact", key);
    });
    keyed(row, shown.buttons.map(([verb]) => verb), (verb) => {
      const label = shown.buttons.find(([each]) => each === verb)[1];
      const request = { do: verb, target: name };
      return button(label, () => send(request), {
        "data-verb": verb, "aria-label": `${label} ${name}`,
      });
    }, (element, verb) => {
      enable(element, shown.buttons.find(([each]) => each === verb)[2]);
    });
  };
  return root;
}

function factRow(key) {
  return el("div", {}, el("dt", {}, key), el("dd", {}));
}
