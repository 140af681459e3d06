// The connection to the register. Owns hearing from it, and knowing for how long it has been silent.

const SILENT_AFTER_MS = 12_000; // the register says something every 5 s
const RETRY_MS = { first: 250, cap: 5_000 };
const REQUEST_TIMEOUT_MS = 4_000;
const MAX_UNANSWERED = 32;
const CLOCK_TICK_MS = 5_000; // how often ages are written anew

// Tells `show` whenever there is something to show. `link.state` is the last state of the register; null before it was
// told, and for who may know it no more.
export function watch(path, show) {
  const link = {
    state: null,
    live: false,
    paired: true,
    failures: 0,
    silentSince: performance.now(),
    get silentSeconds() { return (performance.now() - link.silentSince) / 1000; },
  };
  let heard = performance.now();

  function silent() {
    if (link.live) {
      link.live = false;
      link.silentSince = heard;
    }
    show();
  }

  function connect() {
    const socket = new WebSocket(`ws://${location.host}${path}`);
    const watching = setInterval(() => {
      if (link.live && performance.now() - heard > SILENT_AFTER_MS) {
        silent();
        socket.close();
      }
    }, 1_000);
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      const news = message.type !== "alive" || !link.live;
      heard = performance.now();
      Object.assign(link, { live: true, paired: true, failures: 0 });
      if (message.type !== "alive") link.state = message;
      if (news) show();
    };
    socket.onclose = () => {
      clearInterval(watching);
      silent();
      link.failures += 1;
      setTimeout(reconnect, Math.random() * Math.min(RETRY_MS.cap, RETRY_MS.first * 2 ** link.failures));
    };
  }

  async function reconnect() {
    // A socket cannot say why it was refused; a plain request can.
    try {
      link.paired = (await fetch("/v1/ping", { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })).status !== 403;
    } catch {
      link.paired = true; // the register is away, which says nothing about the pairing
    }
    if (!link.paired) link.state = null;
    show();
    connect();
  }

  setInterval(show, CLOCK_TICK_MS);
  connect();
  return link;
}

// What was asked and not answered yet, each under a key: asked again, it is done once.
const unanswered = new Map();

// What the register answered: { status, body }. Status 0 is no answer yet.
export async function ask(method, path, body = null) {
  const sent = body && JSON.stringify(body), what = method + path + sent;
  if (unanswered.size > MAX_UNANSWERED) unanswered.clear();
  unanswered.set(what, unanswered.get(what) ?? crypto.randomUUID());
  try {
    const answer = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json", "Idempotency-Key": unanswered.get(what) },
      body: sent,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const text = await answer.text();
    unanswered.delete(what);
    return { status: answer.status, body: text ? JSON.parse(text) : {} };
  } catch {
    return { status: 0, body: {} };
  }
}
