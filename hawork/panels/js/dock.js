// Panels beside the notebook: a second column within the notebook's own tab, so that cells and
// panels are seen at once. No extension is needed for it; one without a notebook's tab, as
// Voila, shows the panels where they are.

import { button, el, ownKeys, put } from "./dom.js";

const LEAST_NOTEBOOK = 320;
const LEAST = 340;
const SHARE = 0.5;
const SIDE_BY_SIDE = 720; // pixels of a tab; in a narrower one the panels are below the notebook

export function docked(host, root, guarded) {
  const aside = el("aside", { class: "hw-dock", "aria-label": "Panels beside the notebook" });
  const handle = el("div", {
    class: "hw-dock-handle", role: "separator", tabindex: "0", "aria-label": "Size of the panels",
  });
  const back = button("Into the cell", () => release(), { class: "hw-button hw-dock-back" });
  const place = el("p", { class: "hw-dock-place" }, "The panels are beside the notebook. ");
  const beside = button("Beside the notebook", () => attach(shellOf(host)));
  let shell = null;
  let wanted = true;
  let share = SHARE;
  let below = false;
  aside.append(handle, el("div", { class: "hw-dock-body" }, back));
  ownKeys(aside);
  host.append(root);

  function attach(found) {
    if (!found || shell) return;
    wanted = true;
    found.hwDock?.(); // one at a time: those of another cell go back into it
    shell = found;
    shell.hwDock = release;
    beside.remove();
    aside.lastChild.append(root);
    host.append(place);
    shell.append(aside);
    shell.classList.add("hw-docked");
    sizes.observe(shell);
    fit();
  }

  // Back into the cell that made them.
  function release() {
    wanted = false;
    leave();
    host.append(beside, root);
  }

  function leave() {
    if (!shell) return;
    sizes.unobserve(shell);
    shell.classList.remove("hw-docked", "hw-docked-below");
    shell.style.removeProperty("--hw-dock-size");
    if (shell.hwDock === release) shell.hwDock = null;
    shell = null;
    aside.remove();
    place.remove();
  }

  // Below the tab's toolbar, and as wide as both sides can be read.
  function fit() {
    const top = shell.querySelector(".jp-NotebookPanel-notebook")?.offsetTop ?? 0;
    below = shell.clientWidth < SIDE_BY_SIDE;
    const all = below ? shell.clientHeight - top : shell.clientWidth;
    const size = below ? all * share
      : Math.max(LEAST, Math.min(all * share, all - LEAST_NOTEBOOK));
    shell.classList.toggle("hw-docked-below", below);
    shell.style.setProperty("--hw-dock-size", `${Math.round(size)}px`);
    shell.style.setProperty("--hw-dock-top", `${top}px`);
    put(handle, "aria-orientation", below ? "horizontal" : "vertical");
    put(handle, "aria-valuenow", Math.round((100 * size) / Math.max(1, all)));
  }

  const sizes = new ResizeObserver(guarded(() => {
    if (shell) fit();
    else if (wanted) attach(shellOf(host));
  }));
  sizes.observe(host);

  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 0.03, ArrowUp: 0.03, ArrowRight: -0.03, ArrowDown: -0.03 }[event.key];
    if (!step) return;
    share = Math.min(0.75, Math.max(0.2, share + step));
    fit();
    event.preventDefault();
    event.stopPropagation();
  });
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const box = shell.getBoundingClientRect();
    const wish = below ? (box.bottom - event.clientY) / box.height
      : (box.right - event.clientX) / box.width;
    share = Math.min(0.75, Math.max(0.2, wish));
    fit();
  });

  return () => {
    sizes.disconnect();
    leave();
  };
}

// The tab of JupyterLab or Notebook 7 that holds the cell; a view of an output has none.
function shellOf(host) {
  return host.closest(".jp-NotebookPanel");
}
