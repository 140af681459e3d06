// What a cashier opens: a reward to confirm, receipts for who is late, finding, joining, settings; and what is asked of
// the register for it. Fetched once the page is there; never what is shown without being asked for.

import { at, make } from "./dom.js";
import { isHurried } from "./keys.js";
import { ask } from "./link.js";
import { qrCode } from "./qr.js";
import { LANGUAGES } from "./words.js";
import {
  MAX_KEYED, backButton, broughtBy, button, cardName, choice, chosen, giveText, heading, home, key, link, open, panel,
  reservedOff, rewardName, say, severalTimes, show, tell, totalOf, words,
} from "./cashier.js";

const GLANCE_MS = 400; // what was there for less nobody has read
const CONSENT_TEXT = "till-2026-11"; // the version of the words that a customer is asked by
const ADDRESS_OF = { sms: "phone", viber: "phone", whatsapp: "phone", email: "email" }; // what a channel needs

const keep = (name, value) => {
  try { localStorage.setItem(name, value); } catch { /* it holds until the page is closed */ }
  chosen[name] = value;
};

const nameOf = (customer) => customer?.member?.name ?? cardName(customer?.ending);
const shownTurn = () => link.state?.customer?.turn ?? null; // null of nobody, and of whose sale is over
const turnOf = () => shownTurn() ?? -1;

export const PANELS = {
  reward: rewardPanel, receipts: receiptsPanel, receipt: receiptPanel, find: findPanel, join: joinPanel,
  known: knownPanel, newcomer: newcomerPanel, menu: menuPanel, why: whyPanel, invited: invitedPanel, remove: removePanel, release: releasePanel,
};

const row = (...buttons) => make("div", { class: "row" }, buttons, backButton());

// One key more, and it is done, by an Enter of its own: never by what was typed into this window in passing, as an
// amount and Enter for the POS, or by a slow scanner.
const confirmPanel = (title, amounts, text, label, act, ...more) => {
  const about = [...[amounts].flat().map((amount) => [amount, "amount"]), [text, null]];
  const confirm = () => { if (isRead()) act(); else if (isHurried()) tooSoon(); };
  return [
    heading(title),
    about.map(([said, kind], place) => make("p", { id: `about-${place}`, class: kind }, said)),
    ...more,
    row(button("Enter", label, confirm,
      { class: "main", "data-first": true, "aria-describedby": about.map((_, place) => `about-${place}`).join(" ") })),
  ].flat();
};

const isRead = () => !isHurried() && performance.now() - panel.since >= GLANCE_MS;

function tooSoon() {
  if (!panel.given) home(); // what was typed to join stays
  tell(say("too_soon"));
}

// Whether a key did something. What follows at once on another is a number or a word that was meant for something else,
// and closes what its first key has opened; so does all that a panel has no use for.
export function pressed(name) {
  const isHome = panel.name === "home";
  if (name === "Escape") return isHome && link.state?.customer?.phone ? endByPhone() : home();
  if (name === "Enter") return !isHome && (press("#desk .main") || home()); // nothing is begun by it alone
  const isMeant = (!isHurried() || name === "0") && (chosen.keys === "on" || name.length > 1);
  const place = (root, key = name) => `${root} [aria-keyshortcuts="${CSS.escape(key)}"]`;
  if (isMeant && press(place("#desk"))) return true;
  if (isMeant && isHome) return press(place("#keys")) || (name === "J" && press(place("#desk", "N"))); // who has a card joins by that
  return !isHome && home();
}

function press(selector) {
  const found = document.querySelector(selector);
  found?.click();
  return found !== null;
}

function rewardPanel({ customer }) {
  const member = customer?.member;
  const reward = member?.rewards.find((one) => one.reward === panel.reward);
  if (!reward) return [make("p", {}, say("refused_not_enough")), backButton()];
  const costs = reward.piece_minor === null ? "reward_costs" : "piece_costs";
  const most = Math.min(reward.cost ? reward.times : 1, MAX_KEYED), times = Math.min(panel.times ?? 1, most);
  const text = reward.cost ? say(costs, { n: times * reward.cost }) : broughtBy(reward);
  const minor = reward.discount_minor === null ? null : times * reward.discount_minor;
  const off = words.off({ ...reward, discount_minor: minor }, member.digits, member.currency);
  const done = () => reserve(reward.reward, times);
  return confirmPanel(severalTimes(times, rewardName(reward)), off, text, say("reserve"), done, most > 1 ? timesChoice(most, times) : "");
}

// How often, each on its key.
function timesChoice(most, times) {
  const one = (n) => button(String(n), "×", () => open("reward", { reward: panel.reward, times: n }), {
    "aria-label": severalTimes(n, "").trim() || "1", "aria-pressed": String(n === times) });
  return make("div", { class: "times", role: "group", "aria-label": say("times") },
    Array.from({ length: most }, (_, place) => one(place + 1)));
}

async function reserve(reward, times) {
  if (await act("POST", "/v1/customer/rewards", { turn: turnOf(), reward, times }, null, "by_phone")) home(); // it is shown there
}

function removePanel({ customer }) {
  return confirmPanel(say("remove"), nameOf(customer), say("remove_text"), say("remove"), remove);
}

function releasePanel({ customer }) {
  const { reserved, digits, currency } = customer?.member ?? { reserved: [] };
  const release = () => act("DELETE", "/v1/customer/rewards", { turn: turnOf() }, () => say("released"));
  return confirmPanel(say("release"), reservedOff(reserved.filter((one) => !one.by_pos), digits, currency), say("release_text"), say("release"), release);
}

function receiptsPanel({ recent, customer }) {
  const turn = customer?.turn ?? null;
  const hint = recent.length === 0 ? "late_none" : turn === null ? "late_scan" : "late_choose";
  const lines = recent.slice(0, MAX_KEYED).map((one, place) => receiptLine(one, place, turn));
  return [heading(say("late")), make("p", {}, say(hint, { name: nameOf(customer) })), make("ol", { class: "choices" }, lines), backButton()];
}

function receiptLine(one, place, turn) {
  const texts = [
    make("span", { class: "what" }, words.clock(one.at), one.number ? make("small", {}, say("receipt_number", { number: one.number })) : ""),
    make("span", { class: "cost" }, totalOf(one)),
  ];
  if (turn === null) return make("li", {}, make("p", { class: "choice" }, texts));
  return choice(place, () => open("receipt", { receipt: one }), texts);
}

function receiptPanel({ customer }) {
  const { receipt } = panel;
  const text = say("late_give", { time: words.clock(receipt.at), name: nameOf(customer) });
  return confirmPanel(say("late"), totalOf(receipt), text, say("attach"), () => attach(receipt.receipt));
}

const field = (name, label, type, more = {}) => [
  make("label", { for: name }, label),
  make("input", { id: name, name, type, autocomplete: "off", spellcheck: "false", ...more }),
];

const submitRow = (label) => row(make("button", { class: "main" }, key(say("key_Enter")), make("span", {}, label)));

function findPanel() {
  return [
    heading(say("find")),
    make("form", { onsubmit: find },
      ...field("typed", say("find_label"), "text", { "data-first": true, maxlength: "64", "aria-describedby": "find-hint" }),
      make("p", { id: "find-hint", class: "soft" }, say("find_hint")),
      submitRow(say("find_do"))),
  ];
}

// What a customer is asked, channel by channel: by the chain's own text where it has one in this language, else by ours.
// The version of what was read is kept with the answer.
function consentsAsked() {
  const { language } = words.texts, own = link.state.consents;
  return Object.keys(own?.texts ?? { sms: "" }).flatMap((channel) => {
    const text = own?.texts[channel][language], ours = `join_consent_${channel}`;
    if (text) return { channel, text, version: `${own.version}-${language}` };
    return words.has(ours) ? { channel, text: say(ours), version: `${CONSENT_TEXT}-${language}` } : [];
  });
}

function joinPanel({ customer }) {
  const asked = consentsAsked(); // what comes in force meanwhile was not read
  const byMail = asked.some(({ channel }) => ADDRESS_OF[channel] === "email");
  return [
    heading(customer?.invitation ? say("join_here") : customer?.ending ? say("join_card", { ending: customer.ending }) : say("join")),
    make("form", { onsubmit: join },
      ...field("short_name", say("join_name"), "text", { "data-first": true, maxlength: "80" }),
      ...field("phone", say("join_phone"), "tel", { maxlength: "32" }),
      byMail ? field("email", say("join_email"), "text", { maxlength: "128", inputmode: "email" }) : "",
      asked.map(({ channel, text, version }) => make("label", { class: "tick" },
        make("input", { type: "checkbox", id: `consent_${channel}`, name: channel, value: version }), make("span", {}, text))),
      submitRow(say("join_do"))),
  ];
}

// Neither a card nor a page to join on: what to do.
function newcomerPanel() {
  return [heading(say("join_key")), make("p", {}, say("refused_no_join_page")), backButton()];
}

// The sale may be over: who joins afterwards gets its points, too. Or a member whose points lie elsewhere asks for them.
function invitedPanel({ customer: { invitation, phone } }) {
  if (phone) return [qrCode(phone, say("phone_picture")), make("p", {}, say("phone_text")), button("Escape", say("back"), endByPhone)];
  return [
    qrCode(invitation, say("invited_picture")), make("p", { class: "code" }, invitation.url, " ", make("strong", {}, invitation.code)),
    button("N", say("join_here"), () => open("join"), { class: "wide" }),
  ];
}

// The telephone number of who would be new is a member's: whoever only knows it must not get a card of theirs.
function knownPanel() {
  const theirs = () => sendJoin({ ...panel.given, known: true });
  return confirmPanel(say("refused_phone_known"), panel.whose || say("welcome"), say("known_ask"), say("known_do"), theirs);
}

function menuPanel() {
  const on = (name) => say(chosen[name] === "on" ? "on" : "off");
  const flip = (name) => { keep(name, chosen[name] === "on" ? "off" : "on"); show(); };
  const languages = Object.entries(LANGUAGES).map(([code, name], place) =>
    button(String(place + 1), name, () => { keep("language", code); show(); },
      { lang: code, "aria-pressed": String(words.texts.language === code), class: "choice" }));
  return [
    heading(say("menu")),
    button("S", say("sounds", { state: on("sounds") }), () => flip("sounds"), { class: "wide", "data-first": true }),
    button("K", say("shortcuts", { state: on("keys") }), () => flip("keys"), { class: "wide" }),
    make("div", { class: "choices two" }, languages),
    backButton(),
  ];
}

function whyPanel({ sale }) {
  const gives = sale?.gives ?? [];
  return [
    heading(say("why")),
    gives.length === 0 ? make("p", {}, say("why_none")) : make("ul", { class: "why" }, gives.map((give) =>
      make("li", {}, make("span", {}, giveText(give)), make("code", {}, give.why)))),
    backButton(),
  ];
}

const REFUSED = { 404: "unknown", 422: "text", 429: "often" };
const refusal = (status, { reason }) =>
  say(`refused_${words.has(`refused_${reason}`) ? reason : REFUSED[status] ?? "silent"}`);

let busy = false;

// One thing at a time: a key pressed twice asks once. A refusal for the reason `but` is the caller's to tell.
async function act(method, path, given, done, but) {
  if (busy) return null;
  busy = true;
  const { status, body: answer } = await ask(method, path, given);
  busy = false;
  if (status >= 200 && status < 300) {
    home();
    if (done) tell(done(answer));
  } else if (but && answer.reason === but) return answer;
  else tell(refusal(status, answer), true);
  return null;
}

export async function scanned(texts) {
  tell("");
  const { status, body: answer } = await ask("POST", "/v1/scans", { texts });
  if (status !== 200) tell(refusal(status, answer), true);
  else if (answer.heard === "goods") tell(say("heard_goods"), true);
  else if (answer.heard === "nothing" && !link.state?.notice) tell(say("heard_nothing"), true);
}

export const invite = () => act("POST", "/v1/customer/invitation", null);
export const remove = () => act("DELETE", "/v1/customer", { turn: shownTurn() }, () => say("removed"));
const askByPhone = () => act("POST", "/v1/customer/phone", { turn: turnOf() });
export const askOffer = () => button("P", say("phone_do"), askByPhone, { class: "wide" });
function endByPhone() {
  act("DELETE", "/v1/customer/phone", { turn: turnOf() });
  return true;
}
const attach = (receipt) => act("POST", `/v1/receipts/${encodeURIComponent(receipt)}/member`, { turn: turnOf() },
  ({ released }) => (released ? say("released") : ""));

function find(event) {
  event.preventDefault();
  const typed = at("typed").value.trim();
  if (typed) act("POST", "/v1/customer", { typed, turn: shownTurn() });
  else home();
}

function join(event) {
  event.preventDefault();
  if (!isRead()) return isHurried() && tell(say("too_soon"));
  const given = { turn: shownTurn() };
  for (const name of ["short_name", "phone", "email"]) {
    const text = at(name)?.value.trim();
    if (text) given[name] = text;
  }
  const agreed = [...event.target.querySelectorAll(":checked")];
  const lacking = agreed.map(({ name }) => ADDRESS_OF[name]).find((address) => address && !given[address]);
  if (lacking) {
    at(lacking).focus();
    return tell(say(`needs_${lacking}`), true);
  }
  if (agreed.length) given.consents = agreed.map(({ name, value }) => ({ channel: name, state: "granted", text_version: value }));
  sendJoin(given);
}

async function sendJoin(given) {
  const refused = await act("POST", "/v1/customer/join", given, () => say("joined"), "phone_known");
  if (refused) open("known", { whose: refused.name, given });
}

let audio = null;
export function sound() {
  if (chosen.sounds === "off" || !navigator.userActivation?.hasBeenActive) return;
  audio ??= new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: 330 });
  tone.connect(new GainNode(audio, { gain: 0.08 })).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.2);
}

// What the mouse pressed does not keep the keyboard.
addEventListener("pointerup", () => { if (document.activeElement instanceof HTMLButtonElement) document.activeElement.blur(); });
