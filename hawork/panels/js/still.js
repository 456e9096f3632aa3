// Where a panel cannot be live: a sentence that says why, and the same as text, from the kernel.

import { button, el, ownKeys, say } from "./dom.js";
import { outbox } from "./requests.js";

// What the views need of a browser, and old ones or those that were restricted do not have.
const NEEDED = {
  ResizeObserver: (scope) => scope.ResizeObserver,
  matchMedia: (scope) => scope.matchMedia,
  requestAnimationFrame: (scope) => scope.requestAnimationFrame,
  structuredClone: (scope) => scope.structuredClone,
  "String.replaceAll": (scope) => scope.String?.prototype.replaceAll,
  "Element.replaceChildren": (scope) => scope.Element?.prototype.replaceChildren,
};

export function missing(scope = globalThis) {
  return Object.keys(NEEDED).filter((name) => !NEEDED[name](scope));
}

export function outdated(names) {
  return `This browser has no ${names.join(", ")}, so this panel cannot move. Below is what it shows, `
    + "as text; a current Firefox, Chrome, Edge or Safari shows it live.";
}

export function stopped(error) {
  return `This panel has stopped (${error}). Below is what it shows, as text; `
    + "run its cell again for a live one.";
}

export function stillView(panel, host, why) {
  const text = el("pre", {
    class: "hw-still", tabindex: "0", role: "region", "aria-label": "The panel as text",
  });
  const root = el("div", { class: "hw-frame", "data-life": "still" },
    el("p", { class: "hw-trouble", role: "status" }, why),
    button("Look again", () => requests.ask({ do: "face" })), text);
  const requests = outbox((request) => panel.send(request));
  const onFace = ({ face, id }) => {
    requests.heard([id]);
    say(text, face);
  };
  ownKeys(root);
  host.append(root);
  panel.on("msg:custom", onFace);
  requests.ask({ do: "face" });
  return () => {
    panel.off("msg:custom", onFace);
    requests.close();
    root.remove();
  };
}
