// The cashier page. Owns showing the register's state, and what a cashier does with the keys. Never shows a number as
// fresh when the register is silent; never stands in the way: Escape and every scan lead to the sale.

import { at, fill, make, write } from "./dom.js";
import { fewerCounter } from "./fewer.js";
import { listen } from "./keys.js";
import { watch } from "./link.js";
import { LANGUAGES, wordsOf } from "./words.js";

export const MAX_KEYED = 9; // rewards and receipts with a key of their own
const GIVES_SHOWN = 3; // in a glance; all of them with W
const LONG_NAME_CHARS = 24;
const SAID_FOR_MS = 8_000;
const MINUTE_S = 60;
const body = document.body;

const kept = (name, otherwise) => {
  try { return localStorage.getItem(name) ?? otherwise; } catch { return otherwise; }
};
export const chosen = { language: kept("language", ""), sounds: kept("sounds", "on"), keys: kept("keys", "on") };

export let words = null;
export let panel = { name: "home" };
let language = "en";
let saidUntil = 0;
const fewerOf = fewerCounter();

export const say = (key, values) => words.say(key, values);
const sayOr = (key, otherwise) => (words.has(key) ? say(key) : otherwise);

// ---- showing

export async function show() {
  language = chosen.language || link.state?.language || language; // who is shut out is told so in their own
  if (!LANGUAGES[language]) language = "en";
  words = await wordsOf(language, panels ? PANEL_WORDS : []);
  const { state } = link; // as it is now: an earlier one would be old
  document.documentElement.lang = words.locale;
  showBadge(state);
  showKeys(state);
  body.dataset.paired = link.paired;
  if (!link.paired) write("name", "Tillside"); // who is shut out sees nobody
  if (state === null) return;
  const { customer, sale } = state;
  const member = customer?.member;
  followTurn(customer);
  body.dataset.phase = sale?.current && customer ? "sale" : customer?.standing ?? "idle";
  body.dataset.live = link.live;
  showNotice(state.notice);
  showWho(customer, sale);
  showPoints(member, `${customer?.ending} ${customer?.turn ?? [sale?.kind, sale?.total_minor]}`);
  showElsewhere(customer);
  showSale(sale, customer);
  showPanel(state);
  write("place", placeOf(state.place));
  showProblems(state.problems);
  write("last-sale", lastSale(sale, customer));
  if (performance.now() > saidUntil) write("said", "");
  prepare ??= setTimeout(() => { fetchPanels(); words.ready(); });
}

const ended = (name, ending = "") => say(name, { ending }).replace(ending ? "" : " …", ""); // of a short code nothing is told
export const cardName = (ending) => ended("card", ending);
const placeOf = ({ store, register }) => (store && register ? say("place", { store, register }) : say("place_unknown"));
export const totalOf = ({ total_minor, digits, currency }) => words.money(total_minor, digits, currency);

const GOOD_NEWS = ["voucher", "granted", "enrolling", "enrolled"];

function showNotice(notice) {
  const kind = notice?.reason ?? notice?.kind ?? "";
  if (notice && !GOOD_NEWS.includes(kind) && at("notice").dataset.kind !== kind) beep();
  at("notice").hidden = !notice;
  at("notice").dataset.kind = kind;
  const said = notice?.reason ? `refused_${kind}` : `notice_${kind}`;
  write("notice", notice && words.has(said) ? say(said, { card: cardName(notice.ending) }) : ""); // some come with the panels
}

function showWho(customer, sale) {
  const member = customer?.member;
  body.dataset.replaced = typeof customer?.replaced_by === "string";
  write("tier", member ? member.tier ?? say("welcome") : "");
  body.dataset.tier = member?.tier ?? "";
  showProgress(member);
  const [name, message] = whoTexts(customer, sale);
  write("name", name);
  at("name").dataset.long = name.length > LONG_NAME_CHARS;
  write("message", message);
}

function showProgress(member) {
  const { progress, digits, currency } = member ?? {};
  at("progress").hidden = !progress;
  if (!progress) return;
  const { tier, measure, at_least: whole, counted } = progress;
  const [bar, text] = at("progress").children;
  const n = Math.max(0, whole - counted);
  const total = measure === "spend_in" ? words.money(n, digits, currency) : "";
  Object.assign(bar, { max: whole, value: Math.min(whole, counted) });
  text.textContent = say(`progress_${measure}`, { n, total, tier });
  bar.setAttribute("aria-label", text.textContent);
}

function whoTexts(customer, sale) {
  if (!customer && !link.live) return [say("silent_title"), say("silent_text")];
  if (!customer) return [say("idle_title"), sale?.current ? saleText(sale) : say("idle_text")];
  const { standing, ending, member, replaced_by: by } = customer;
  if (member) {
    const replaced = typeof by === "string" ? (by ? say("replaced", { ending: by }) : say("replaced_short")) : "";
    return [member.name ?? cardName(ending), [replaced, member.note].filter(Boolean).join(" · ")];
  }
  if (standing === "checking") return [cardName(ending), say("checking")];
  if (customer.invitation) return [say("invited_title"), sale?.current ? "" : say("invited_text")];
  const about = standing === "blocked" ? standing : "unknown"; // an unissued card is new, too
  return [ended(`${about}_title`, ending), sale?.current ? "" : say(`${standing}_text`)];
}

const asOf = (member) => (member.as_of ? say("as_of", { time: words.clock(member.as_of) }) : say("as_of_unknown"));

function showPoints(member, whose) {
  at("points").hidden = !member;
  const fewer = fewerOf(member, whose);
  if (!member) return;
  const { spendable, pending } = member;
  write("spendable", words.number(spendable));
  write("spendable-label", say("spendable", { n: spendable }));
  write("pending", words.number(pending));
  write("pending-label", say("pending", { n: pending }));
  at("points").dataset.long = at("spendable").textContent.length > 6;
  write("as-of", link.live || !member.as_of ? asOf(member) : say("last_known", { time: words.clock(member.as_of) }));
  write("fewer", fewer > 0 ? say("fewer", { n: fewer }) : "");
}

// What other channels know of whoever is served; what lies ahead has its time, all else its age.
function showElsewhere(customer) {
  const lines = customer?.turn == null ? [] : customer.member?.context ?? [];
  const about = lines.map(({ kind, text, at: since }) => {
    const age = secondsSince(since);
    return [sayOr(`context_${kind}`, ""), text, age > 0 ? say("ago", { age: words.span(age) }) : words.clock(since)];
  });
  at("elsewhere").hidden = about.length === 0;
  const [title, list] = at("elsewhere").children;
  title.textContent = say("elsewhere");
  fill(list, about, () => about.map(([kind, text, when]) =>
    make("li", {}, make("span", { class: "what" }, make("small", {}, [kind, when].filter(Boolean).join(" · ")), text))));
}

function showSale(sale, customer) {
  const current = Boolean(sale?.current && customer);
  at("gave").hidden = !current;
  body.dataset.outcome = current ? (sale.points < 0 ? "taken" : sale.outcome) : "";
  if (!current) return write("gave-reward", "");
  write("gave-points", sale.outcome === "points" && sale.points !== 0 ? words.signed(sale.points) : "");
  write("gave-text", saleText(sale));
  write("gave-estimate", sale.estimated ? say("estimate") : "");
  write("gave-reward", sale.reward ? say(`reward_${sale.reward}`) : "");
  at("gave-reward").dataset.reward = sale.reward ?? "";
  const gives = sale.gives.length > 1 || sale.gives.some((give) => give.pending_until) ? sale.gives : [];
  fill(at("gives"), [words.locale, gives], () => gives.slice(0, GIVES_SHOWN).map((give) => make("li", {}, giveText(give))));
}

export const giveText = ({ rule, points, pending_until: until }) =>
  say(until ? "give_pending" : "give", { points: words.signed(points), rule, date: until && words.date(until) });

function saleText(sale) {
  const total = totalOf(sale);
  const back = sale.kind === "return" ? "_return" : "";
  if (["held", "blocked"].includes(sale.outcome)) return say(sale.outcome, { total });
  if (sale.outcome !== "points") return say(`${sale.outcome}${back}`, { total });
  const n = Math.abs(sale.points);
  if (sale.points < 0) return say("took_points", { n, total });
  return say(sale.points === 0 ? "gave_nothing" : "gave_points", { n, total });
}

function lastSale(sale, customer) {
  if (!sale || sale.current) return "";
  const total = totalOf(sale);
  if (sale.outcome !== "points" || !customer) return say("last_sale", { total });
  return say("last_sale_points", { total, points: words.signed(sale.points), n: Math.abs(sale.points) });
}

function showProblems(problems) {
  const lines = problems.map(({ kind, name, problem }) =>
    sayOr(`problem_${kind}`, say("problem", { what: sayOr(`kind_${kind}`, kind), name, problem })));
  at("problems").hidden = lines.length === 0;
  fill(at("problems"), lines, () => lines.map((line) => make("li", {}, line)));
}

function showBadge(state) {
  const [kind, text] = badge(state);
  body.dataset.badge = kind;
  write("badge-text", text);
}

function badge(state) {
  if (!link.paired) return ["silent", say("not_paired")];
  if (!link.live) {
    if (state === null && link.failures === 0) return ["connecting", say("connecting")];
    const silent = link.silentSeconds;
    return ["silent", silent < MINUTE_S ? say("reconnecting") : say("not_live", { age: words.span(silent) })];
  }
  const { enrolled, online, since, queued } = state.badge;
  const parts = [], attention = state.problems.length > 0;
  if (attention) parts.push(say("attention"));
  if (!enrolled) parts.push(say("not_enrolled"));
  else if (online) parts.push(say("online"));
  else parts.push(since ? say("offline", { age: words.span(secondsSince(since)) }) : say("offline_unknown"));
  if (queued > 0) parts.push(say("queued", { n: queued }));
  const asOf = state.customer?.member?.as_of;
  if (!online && asOf) parts.push(say("balance_as_of", { time: words.clock(asOf) }));
  return [attention ? "attention" : online ? "online" : "offline", parts.join(" · ")];
}

const secondsSince = (time) => Math.max(0, (Date.now() - Date.parse(time)) / 1000);

// ---- the panel: what can be done now

// Another customer leads back to the sale; who looks for the receipt of a late one may scan the card then.
function followTurn(customer) {
  const turn = customer?.turn ?? null;
  if (turn !== panel.turn) {
    if (turn !== null) saidUntil = 0; // it was about somebody else
    if (!["receipts", "menu"].includes(panel.name)) panel = { name: "home" };
  }
  panel.turn = turn;
}

let opener = null; // the key of what had the focus when a panel was opened

export async function open(name, more = {}) {
  saidUntil = 0;
  if (panel.name === "home") opener = document.activeElement.getAttribute("aria-keyshortcuts");
  if (!await fetchPanels()) return tell(say("refused_silent"), true);
  panel = { name, turn: panel.turn, since: performance.now(), ...more };
  await show();
  at("desk").querySelector("[data-first]")?.focus();
}

export function home() {
  const away = panel.name !== "home";
  panel = { name: "home", turn: panel.turn };
  if (at("desk").contains(document.activeElement)) document.activeElement.blur();
  show().then(() => away && opener && document.querySelector(`[aria-keyshortcuts="${CSS.escape(opener)}"]`)?.focus());
  return away;
}

const PANELS = { home: homePanel }, PANEL_WORDS = ["panels"];

// What a cashier opens is fetched once the page is there: nobody waits for it.
let fetched = null, prepare = null, panels = null;
function fetchPanels() {
  fetched ??= Promise.all([import("./panels.js"), wordsOf(language, PANEL_WORDS)]).then(
    async ([module]) => { panels = module; Object.assign(PANELS, panels.PANELS); await show(); return true; },
    () => { fetched = null; return false; }, // the register is away: it is asked for again
  );
  return fetched;
}
const later = async (name, given) => (await fetchPanels() ? panels[name](given) : tell(say("refused_silent"), true));

function showPanel(state) {
  const { customer, recent, sale } = state;
  const name = panel.name === "home" && (customer?.invitation ?? customer?.phone) ? "invited" : panel.name;
  const about = { home: customer, invited: customer, receipts: [recent, customer], why: sale }[name];
  const desk = at("desk"), made = PANELS[name];
  desk.dataset.panel = panel.name;
  fill(desk, [words.locale, panel, chosen, about ?? null, !panels], () => made?.(state) ?? []);
  desk.ariaBusy = String(!made);
  desk.hidden = desk.childElementCount === 0;
}

export const heading = (text) => make("h2", {}, text);
export const key = (name) => make("kbd", { "aria-hidden": "true" }, name);
export const button = (name, text, act, more = {}) =>
  make("button", { type: "button", "aria-keyshortcuts": name, onclick: act, ...more }, key(sayOr(`key_${name}`, name)), make("span", {}, text));
export const choice = (place, act, ...parts) => make("li", {}, make("button",
  { type: "button", class: "choice", "aria-keyshortcuts": String(place + 1), onclick: act }, key(String(place + 1)), ...parts));
const soft = (...parts) => make("p", { class: "soft" }, parts);
export const backButton = () => button("Escape", say("back"), home);

function homePanel({ customer }) {
  const member = customer?.member;
  if (customer && !member) return ["unknown", "unissued"].includes(customer.standing) ? [joinOffer(), customer.asks && panels ? panels.askOffer() : ""] : []; // also after the sale
  if (customer?.turn == null) return []; // what was bought is settled: what could be had is for the next sale
  const parts = [false, true].map((byPos) => reservedCard(member, byPos)).filter(Boolean);
  const from = panel.from < member.rewards.length ? panel.from : 0, near = member.nearest;
  const rewards = member.rewards.slice(from, from + MAX_KEYED);
  if (rewards.length > 0) {
    parts.push(make("div", { class: "title" }, heading(say("rewards")), make("span", { class: "soft", "aria-hidden": "true" }, say("in_points"))));
    parts.push(make("ol", { class: "choices" }, rewards.map((one, place) => rewardLine(one, place, member))));
    if (rewards.length < member.rewards.length) parts.push(moreRewards(member.rewards.length, from));
    const needs = rewards.some(({ cost, safe }) => cost && !safe);
    const why = needs && member.unsafe_because ? say(member.unsafe_because) : "";
    if (why) parts.push(soft(say("safe", { n: member.safe_offline }), " ", why));
  } else if (near && !parts.length) parts.push(make("p", { class: "near" }, say(`progress_${near.measure}`, { n: near.missing, tier: rewardName(near) })));
  return parts;
}

// The next nine of all, and after the last the first.
const moreRewards = (all, from) => button("0", say("more", { n: all - Math.min(MAX_KEYED, all - from) }), () => {
  panel = { ...panel, from: from + MAX_KEYED };
  show();
}, { class: "wide" });

const joinOffer = () => button("N", say("join"), () => open("join"), { class: "wide main" });

// What is to be keyed and can be given back here; or what a POS took off, and alone gives back.
function reservedCard({ reserved, digits, currency }, byPos) {
  const own = reserved.filter((one) => one.by_pos === byPos);
  if (!own.length) return "";
  const names = new Map();
  for (const one of own) names.set(rewardName(one), (names.get(rewardName(one)) ?? 0) + one.times);
  const off = reservedOff(own, digits, currency), what = [...names].map(([name, times]) => severalTimes(times, name)).join(", ");
  return make("div", { class: "reserved", role: "status" }, make("p", { class: "take" }, say(byPos ? "taken_off" : "take_off")),
    ...(byPos ? [make("p", {}, [...off, what].join(" · "))] : [
      ...off.map((part) => make("p", { class: "amount" }, part)), make("p", {}, what), soft(say("receipt_confirms")),
      button("Delete", say("release"), () => open("release"))]));
}

// What to key: all money in one, and what hangs on the goods.
export function reservedOff(reserved, digits, currency) {
  const total = reserved.reduce((sum, { discount_minor: minor }) => sum + minor, 0);
  const parts = reserved.filter(({ discount_minor: minor }) => minor === null).map((one) => words.off(one, digits, currency));
  return total > 0 ? [words.money(total, digits, currency), ...parts] : parts;
}

export const rewardName = ({ reward, title }) => title ?? reward;
export const severalTimes = (times, name) => (times > 1 ? `${words.number(times)} × ${name}` : name);

export const broughtBy = ({ stamps }) => say(stamps ? "full_card" : "voucher");

function rewardLine(reward, place, { digits, currency }) {
  const hints = [];
  if (reward.discount_minor === null) hints.push(words.off(reward, digits, currency));
  if (reward.min_basket_minor !== null) hints.push(say("from_basket", { total: words.money(reward.min_basket_minor, digits, currency) }));
  if (!reward.safe) hints.push(say("needs_centre"));
  const name = make("span", { class: "what" }, rewardName(reward), hints.length > 0 ? make("small", {}, hints.join(" · ")) : "");
  const points = [words.number(reward.cost), make("span", { class: "hidden" }, ` ${say("in_points")}`)];
  const cost = make("span", { class: "cost" }, reward.cost ? points : broughtBy(reward));
  return choice(place, () => open("reward", { reward: reward.reward }), name, cost);
}

function showKeys(state) {
  const customer = state?.customer;
  const sale = state?.sale;
  const recent = state?.recent.length ?? 0;
  const actions = [];
  // Who was served is only shown still; whoever would be the next receipt's goes by no stray key.
  if (customer) actions.push(["Delete", say("remove"), () => (customer.turn == null ? later("remove") : open("remove"))]);
  if (sale?.current && customer && sale.gives.length > 0) actions.push(["W", say("why_key"), () => open("why")]);
  if (state && customer?.turn == null) {
    actions.push(state.invites ? ["J", say("invite_key"), () => later("invite")] : ["J", say("join_key"), () => open("newcomer")]);
  }
  if (recent > 0) actions.push(["L", say("late_key", { n: recent }), () => open("receipts")]);
  actions.push(["F", say("find_key"), () => open("find")], ["M", say("menu_key"), () => open("menu")]);
  fill(at("keys"), [words.locale, actions.map(([name, text]) => name + text)], () =>
    actions.map(([name, text, act]) => button(name, text, act)));
  at("keys").setAttribute("aria-label", say("actions"));
}

// ---- acting

export function tell(text, bad = false) {
  saidUntil = performance.now() + SAID_FOR_MS;
  at("said").dataset.bad = bad;
  write("said", text);
  if (bad) beep();
}

// Where something needs a look; a scanner beeps for the rest itself.
const beep = () => fetchPanels().then(() => panels?.sound());

listen({ scanned: (texts) => later("scanned", texts), pressed: (name) => panels?.pressed(name) ?? later("pressed", name) });
export const link = watch("/v1/page", show);
show();
