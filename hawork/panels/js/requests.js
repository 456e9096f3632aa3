// What buttons ask of the kernel. A message that is sent while a page is still connecting can be
// lost without a word, so each is sent again until the state says that it was taken. The kernel
// does each once, by its id.

const AGAIN = 1000;
const TRIES = 30;

export function outbox(send, later = setTimeout, forget = clearTimeout) {
  const open = new Map();
  let timer = null;

  function again() {
    timer = null;
    for (const [id, asked] of open) {
      asked.tries += 1;
      if (asked.tries > TRIES) open.delete(id);
      else send(asked.request);
    }
    wait();
  }

  function wait() {
    if (open.size && timer === null) timer = later(again, AGAIN);
  }

  function close() {
    open.clear();
    if (timer !== null) forget(timer);
    timer = null;
  }

  return {
    ask(request) {
      const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      const asked = { request: { ...request, id }, tries: 1 };
      open.set(id, asked);
      send(asked.request);
      wait();
    },
    heard(taken) {
      for (const id of taken ?? []) open.delete(id);
    },
    close,
  };
}
