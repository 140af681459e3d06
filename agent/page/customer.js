// The customer view. Owns showing customers themselves, in their language; nothing can be done here, and nothing of the
// cashier's is told to it.

import { at, fill, make, write } from "./dom.js";
import { fewerCounter } from "./fewer.js";
import { watch } from "./link.js";
import { qrCode } from "./qr.js";
import { LANGUAGES, wordsOf } from "./words.js";

async function show() {
  const language = link.state?.language ?? "en";
  const words = await wordsOf(LANGUAGES[language] ? language : "en", ["screen"]);
  const { state } = link;
  const say = (key, values) => words.say(key, values);
  document.documentElement.lang = words.locale;
  if (state === null) return;
  // Of a register that is silent nobody knows whose turn it is: the last customer's name is not the next one's to see.
  const { member, standing, sale, invitation, phone, turn } = link.live ? state : {};
  document.body.dataset.phase = standing ?? "idle";
  document.body.dataset.live = link.live;
  document.body.dataset.asks = Boolean(phone);
  write("tier", member?.tier ?? "");
  write("name", member ? member.name ?? say("screen_member") : say("screen_idle"));
  const message = phone ? "phone" : member || !link.live ? "" : invitation ? "invited" : standing ?? "scan";
  write("message", message && say(`screen_${message}`));
  fill(at("invitation"), [words.locale, invitation ?? phone ?? null], () => (invitation ? [
    qrCode(invitation, say("invited_picture")), make("p", { class: "code" }, invitation.url, make("strong", {}, invitation.code)),
  ] : phone ? [qrCode(phone, say("screen_phone"))] : []));
  showPoints(member, words, `${member?.name} ${turn ?? [sale?.kind, sale?.points]}`);
  showSale(sale, words);
}

const fewerOf = fewerCounter();

function showPoints(member, words, whose) {
  for (const id of ["spendable", "points-text"]) at(id).hidden = !member;
  write("as-of", member?.as_of ? words.say("as_of", { time: words.clock(member.as_of) }) : "");
  fill(at("reserved"), [words.locale, member?.reserved], () => (member?.reserved ?? []).map((one) => {
    const off = words.off(one, member.digits, member.currency);
    return make("li", {}, `${one.title ?? one.reward}: ${one.piece_minor === null ? "−" : ""}${off}`);
  }));
  const fewer = fewerOf(member, whose);
  write("fewer", fewer > 0 ? words.say("fewer", { n: fewer }) : "");
  if (!member) return;
  write("spendable", words.number(member.spendable));
  const pending = member.pending > 0 ? ` · ${words.say("screen_pending", { n: member.pending })}` : "";
  write("points-text", words.say("spendable", { n: member.spendable }) + pending);
}

function showSale(sale, words) {
  at("gave").hidden = !sale?.points;
  write("gave-estimate", "");
  if (!sale?.points) return;
  at("gave").dataset.back = sale.points < 0;
  write("gave-points", words.signed(sale.points));
  write("gave-text", words.say(sale.points > 0 ? "screen_gave" : "screen_took", { n: Math.abs(sale.points) }));
  write("gave-estimate", sale.estimated ? words.say("estimate") : "");
}

const link = watch("/v1/display", show);
