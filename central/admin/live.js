// Keeps what is live of this page as the centre has it: asks for the page anew and puts its #live in place of the one
// that is shown. It stands still while nobody looks, and while a form in it is open.
"use strict";

const said = document.getElementById("live-state");
const everyMs = Number(document.getElementById("live").dataset.everyS) * 1000;

function say(state, words) {
  said.dataset.state = state;
  said.textContent = words;
}

async function refresh() {
  const shown = document.getElementById("live");
  if (document.hidden || shown.querySelector("details[open]")) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
    if (answer.status === 403) return say("ended", "The session has ended: run `tillside-central open`.");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (!answer.ok || !fresh) return say("lost", `The centre failed (${answer.status}), its log says why; shown is ${shown.dataset.asOf}.`);
    const focused = shown.contains(document.activeElement) && document.activeElement.getAttribute("href");
    shown.replaceWith(document.adoptNode(fresh));
    if (focused) fresh.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    say("live", `Live, ${fresh.dataset.asOf}`);
  } catch {
    say("lost", `The centre does not answer; shown is ${shown.dataset.asOf}.`);
  }
}

say("live", `Live, ${document.getElementById("live").dataset.asOf}`);
setInterval(refresh, everyMs);
document.addEventListener("visibilitychange", refresh);
