// The cashier page. Owns showing one state from the register, and saying how old it is.
// Never writes anything but text into the document, and never shows a number as fresh when the
// register is silent.

const SILENT_AFTER_MS = 12_000; // the register says something every 5 s
const RETRY_MS = { first: 250, cap: 5_000 };
const REQUEST_TIMEOUT_MS = 4_000;
const CLOCK_TICK_MS = 5_000; // how often ages are written anew
const REWARDS_SHOWN = 3; // in a glance, and without scrolling
const MINUTE_S = 60, HOUR_S = 3_600, DAY_S = 86_400;

const body = document.body;
const at = (id) => document.getElementById(id);
const section = (name) => document.querySelector(`.${name}`);

const catalogue = await (await fetch("/page/strings.json")).json();
let words = catalogue.en;
let state = null; // the last PageState
let heard = null; // when the register last said anything, ms of this page's clock
let lost = performance.now(); // since when it has been silent
let paired = true;
let failures = 0;

// ---- words and numbers

const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
const say = (key, values = {}) => fill(words[key], values);
const number = (value) => new Intl.NumberFormat(words.locale).format(value);
const signed = (value) => new Intl.NumberFormat(words.locale, { signDisplay: "exceptZero" }).format(value);

function money(sale) {
  const amount = new Intl.NumberFormat(words.locale, {
    minimumFractionDigits: sale.digits, maximumFractionDigits: sale.digits,
  }).format(Math.abs(sale.total_minor) / 10 ** sale.digits);
  return `${amount} ${sale.currency}`;
}

function span(seconds) {
  if (seconds < MINUTE_S) return say("seconds", { n: Math.floor(seconds) });
  if (seconds < HOUR_S) return say("minutes", { n: Math.floor(seconds / MINUTE_S) });
  if (seconds < DAY_S) return say("hours", { n: Math.floor(seconds / HOUR_S) });
  return say("days", { n: Math.floor(seconds / DAY_S) });
}

const secondsSince = (time) => Math.max(0, (Date.now() - Date.parse(time)) / 1000);

function ago(time) {
  const seconds = secondsSince(time);
  return seconds < MINUTE_S ? say("just_now") : say("ago", { age: span(seconds) });
}

// ---- showing

function write(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text; // an equal text is not announced again
}

const live = () => lost === null;

function phaseOf({ customer, sale }) {
  if (sale?.current && customer) return "sale";
  if (customer) return customer.standing;
  return "idle";
}

function show() {
  if (state === null) {
    showBadge();
    return;
  }
  words = catalogue[state.language] ?? catalogue.en;
  document.documentElement.lang = state.language;
  const phase = phaseOf(state);
  body.dataset.phase = phase;
  body.dataset.live = live();
  body.dataset.crowded = Boolean(state.notice) || typeof state.customer?.replaced_by === "string"
    || Boolean(state.customer?.member?.rewards.length);
  showNotice(state.notice);
  showWho(state.customer, phase === "sale");
  if (!state.customer && state.sale?.current) write("message", saleText(state.sale));
  showPoints(state.customer?.member);
  showSale(state.sale, state.customer);
  showPlace(state.place);
  showProblems(state.problems);
  showBadge();
}

const cardName = (ending) => (ending ? say("card", { ending }) : say("card_short"));

function showNotice(notice) {
  at("notice").hidden = !notice;
  at("notice").dataset.kind = notice?.kind ?? "";
  write("notice", notice ? say(`notice_${notice.kind}`, { card: cardName(notice.ending) }) : "");
}

function showWho(customer, sold) {
  const member = customer?.member;
  body.dataset.tier = member?.tier ?? "";
  body.dataset.replaced = typeof customer?.replaced_by === "string";
  if (!customer) {
    write("eyebrow", "");
    write("name", say("idle_title"));
    write("message", say("idle_text"));
  } else if (member) {
    write("eyebrow", member.tier ?? say("welcome"));
    write("name", member.name ?? cardName(customer.ending));
    write("message", replacedText(customer.replaced_by) || (member.note ?? ""));
  } else if (customer.standing === "checking") {
    write("eyebrow", "");
    write("name", cardName(customer.ending));
    write("message", say("checking"));
  } else {
    const { standing, ending } = customer;
    write("eyebrow", "");
    write("name", ending ? say(`${standing}_title`, { ending }) : say(`${standing}_title_short`));
    write("message", sold ? "" : say(`${standing}_text`));
  }
}

function replacedText(ending) {
  if (typeof ending !== "string") return "";
  return ending ? say("replaced", { ending }) : say("replaced_short");
}

function showPoints(member) {
  section("points").hidden = !member;
  if (!member) return;
  for (const key of ["spendable", "confirmed", "pending"]) {
    write(`${key}-label`, say(key));
    write(key, number(member[key]));
  }
  section("spendable").dataset.length = at("spendable").textContent.length > 6 ? "long" : "short";
  if (member.as_of === null) write("as-of", say("as_of_unknown"));
  else write("as-of", say(live() ? "as_of" : "as_of_not_live", { age: ago(member.as_of) }));
  showRewards(member);
}

function showRewards({ rewards, safe_offline, unsafe_because }) {
  const why = unsafe_because ? ` ${say(unsafe_because)}` : "";
  write("safe", rewards.length ? say("safe", { points: number(safe_offline) }) + why : "");
  at("rewards").replaceChildren(...rewards.slice(0, REWARDS_SHOWN).map(({ reward, title, cost, safe }) => {
    const item = document.createElement("li");
    item.dataset.safe = safe;
    item.textContent = say(safe ? "reward" : "reward_unsafe", { title: title ?? reward, cost: number(cost) });
    return item;
  }));
}

function showSale(sale, customer) {
  const current = Boolean(sale?.current && customer);
  section("gave").hidden = !current;
  body.dataset.outcome = current ? sale.outcome : "";
  if (current) {
    const counted = sale.outcome === "points";
    write("gave-points", counted && sale.points !== 0 ? signed(sale.points) : "");
    const estimate = sale.estimated ? ` ${say("estimate")}` : "";
    const reward = sale.reward ? ` ${say(`reward_${sale.reward}`)}` : "";
    write("gave-text", saleText(sale) + estimate + reward);
  }
  if (sale && !sale.current) {
    const total = money(sale);
    write("last-sale", sale.outcome === "points" && customer
      ? say("last_sale_points", { total, points: signed(sale.points) })
      : say("last_sale", { total }));
  } else write("last-sale", "");
}

function saleText(sale) {
  const total = money(sale);
  const back = sale.kind === "return" ? "_return" : "";
  if (sale.outcome === "held" || sale.outcome === "blocked") return say(sale.outcome, { total });
  if (sale.outcome !== "points") return say(`${sale.outcome}${back}`, { total });
  if (sale.points < 0) return say("took_points", { total });
  if (sale.points === 0) return say("gave_nothing", { total });
  if (sale.pending === sale.points) return say("gave_all_pending", { total });
  return say(sale.pending > 0 ? "gave_pending" : "gave_points", { total, pending: number(sale.pending) });
}

function showPlace({ store, register }) {
  write("place", store && register ? say("place", { store, register }) : say("place_unknown"));
}

function showProblems(problems) {
  const lines = problems.map(({ kind, name, problem }) => say("problem", { what: words[kind] ?? kind, name, problem }));
  const list = at("problems");
  if (JSON.stringify(lines) === JSON.stringify([...list.children].map((item) => item.textContent))) return;
  list.replaceChildren(...lines.map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
}

function showBadge() {
  const [kind, text] = badge();
  body.dataset.badge = kind;
  write("badge-text", text);
}

function badge() {
  if (!paired) return ["silent", say("not_paired")];
  if (!live()) {
    if (state === null && failures === 0) return ["connecting", say("connecting")];
    const silent = (performance.now() - lost) / 1000;
    return ["silent", silent < MINUTE_S ? say("reconnecting") : say("not_live", { age: span(silent) })];
  }
  const { enrolled, online, since, queued } = state.badge;
  const waiting = queued > 0 ? ` · ${say("queued", { count: number(queued) })}` : "";
  if (!enrolled) return ["offline", say("not_enrolled") + waiting];
  if (online) return [queued > 0 ? "busy" : "online", say("online") + waiting];
  return ["offline", (since ? say("offline", { age: span(secondsSince(since)) }) : say("offline", { age: "" }).trim()) + waiting];
}

// ---- the connection

function heardSomething() {
  heard = performance.now();
  lost = null;
  failures = 0;
  paired = true;
}

function wentSilent() {
  if (lost === null) lost = heard ?? performance.now();
  show();
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/v1/events`);
  const watch = setInterval(() => {
    if (live() && performance.now() - heard > SILENT_AFTER_MS) {
      wentSilent();
      socket.close();
    }
  }, 1_000);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    const back = !live();
    heardSomething();
    if (message.type === "state") state = message;
    if (message.type === "state" || back) show();
  };
  socket.onclose = () => {
    clearInterval(watch);
    wentSilent();
    failures += 1;
    setTimeout(reconnect, Math.random() * Math.min(RETRY_MS.cap, RETRY_MS.first * 2 ** failures));
  };
}

async function reconnect() {
  // A socket cannot say why it was refused; a plain request can.
  try {
    paired = (await fetch("/v1/ping", { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })).status !== 403;
  } catch {
    paired = true; // the register is away, which says nothing about the pairing
  }
  show();
  connect();
}

setInterval(show, CLOCK_TICK_MS);
show();
connect();
