// The keyboard. Owns telling a scanner, which types faster than a person can, from a person: a scan is never typed into
// a field and never taken for a command, whatever has the focus; what a person types comes a moment later than usual.

const GAP_MS = 50; // between two characters of a scanner; a slow one leaves 20 to 40 ms
const MIN_ENDED = 4, MIN_BARE = 7; // characters of a scan with Enter or Tab behind it, and without
const MAX_SCAN_CHARS = 1_024;
const SCANS_WAITING = 8;
const ALONE_MS = 400; // from one key to the next: what follows sooner is part of a number or a word
const GS = { key: "\x1d", code: "GS" }; // between the parts of a GS1 code, typed as Ctrl+] or as F8

// What a US keyboard, which scanners are set to, means by a key, whatever layout the system has.
const US = {
  Minus: "-_", Equal: "=+", BracketLeft: "[{", BracketRight: "]}", Backslash: "\\|", Semicolon: ";:", Quote: "'\"",
  Backquote: "`~", Comma: ",<", Period: ".>", Slash: "/?", Space: "  ", NumpadAdd: "++", NumpadSubtract: "--",
  NumpadMultiply: "**", NumpadDivide: "//", NumpadDecimal: "..", GS: GS.key,
};
const SHIFTED_DIGITS = ")!@#$%^&*(";

function onUsKeyboard({ code, shiftKey, capital }) {
  if (code.startsWith("Key")) return shiftKey !== capital ? code[3] : code[3].toLowerCase();
  if (/^Digit\d$/.test(code)) return shiftKey ? SHIFTED_DIGITS[code[5]] : code[5];
  if (/^Numpad\d$/.test(code)) return code[6];
  return US[code]?.[shiftKey ? 1 : 0] ?? "";
}

const isField = (element) => element instanceof HTMLInputElement && /^(text|tel)$/.test(element.type);

let gap = ALONE_MS, pressedAt = -ALONE_MS;
// Whether a key was pressed just now that followed at once on another.
export const isHurried = () => gap < ALONE_MS && performance.now() - pressedAt < ALONE_MS;

// Calls `scanned` with the ways to read a scan, and `pressed` with a command: "1" to "9", a letter, "Enter", "Escape" or
// "Delete". `pressed` says whether it did something with it.
export function listen({ scanned, pressed }) {
  let held = []; // characters that may be a scanner's
  let torn = false; // a scan with what cannot be read: none of it is taken
  let last = 0;
  let timer = null;
  const waiting = [];

  async function scan(keys) {
    pressedAt = -ALONE_MS; // nobody typed them
    if (keys.length === 0 || keys.length > MAX_SCAN_CHARS || waiting.length >= SCANS_WAITING) return;
    const readings = [keys.map(({ key }) => key).join(""), keys.map(onUsKeyboard).join("")];
    waiting.push([...new Set(readings)].filter((text) => text.trim() !== ""));
    if (waiting.length > 1) return; // the one before is still being taken: they stay in order
    while (waiting.length > 0) {
      await scanned(waiting[0]);
      waiting.shift();
    }
  }

  function type(keys) {
    const field = document.activeElement;
    if (!isField(field)) {
      if (!field?.form) pressed(keys.length > 1 ? "" : commandOf(keys[0])); // a form keeps what was typed
      return;
    }
    field.setRangeText(keys.map(({ key }) => key).join(""), field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function taken() {
    clearTimeout(timer);
    const keys = held;
    held = [];
    torn = false;
    return keys;
  }

  // A person is done with these, or a scanner that sends nothing at the end.
  function release() {
    const keys = taken();
    if (keys.length >= MIN_BARE || keys.includes(GS)) scan(keys);
    else if (keys.length > 0) type(keys);
  }

  addEventListener("keydown", (event) => {
    const { key, code, shiftKey, ctrlKey, altKey, timeStamp } = event;
    const running = (torn || held.length > 0) && !event.isComposing && timeStamp - last <= GAP_MS;
    if (!running) release();
    if (/^(.|Enter|Delete|Backspace)$/.test(key)) {
      gap = timeStamp - pressedAt;
      if (key !== "Enter") pressedAt = timeStamp; // a number or a word ends with it
    }
    const composed = event.isComposing || ctrlKey || altKey || event.metaKey;
    if (composed && (!running || /^(Control|Alt|AltGraph|Meta)$/.test(key))) return;
    const isFunction = running && /^F\d+$/.test(key); // a person's does what the browser has for it
    const isDead = running && key === "Dead"; // a person's waits for a letter
    if (composed || isFunction || isDead || key.length === 1) {
      if (key === " " && !running && !isField(event.target)) return; // presses a button
      event.preventDefault();
      if (event.repeat) return;
      const isGs = key === "F8" || (ctrlKey && !altKey && (code === "BracketRight" || key === "]"));
      const altGr = (ctrlKey && altKey) || event.getModifierState("AltGraph"); // gives a character as Shift does
      torn ||= composed && !isGs && !(altGr && key.length === 1);
      if (torn) held = [];
      else if (isGs || !isFunction) held.push(isGs ? GS : { key: isDead ? "" : key, code, shiftKey, capital: event.getModifierState("CapsLock") });
      last = timeStamp;
      clearTimeout(timer);
      timer = setTimeout(release, GAP_MS);
    } else if ((key === "Enter" || key === "Tab") && (torn || held.length >= MIN_ENDED)) {
      event.preventDefault();
      scan(taken());
    } else if (key === "Enter" || key === "Escape" || key === "Delete" || key === "Backspace") {
      release();
      const inField = isField(event.target);
      if ((inField || (key !== "Enter" && event.target.form)) && key !== "Escape") return;
      if (key === "Enter" && event.target instanceof HTMLButtonElement) return; // it presses itself
      if (event.repeat || pressed(key === "Backspace" ? "Delete" : key)) event.preventDefault();
    }
  }, { capture: true });
}

function commandOf({ key, code }) {
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code);
  if (digit) return digit[1];
  if (code.startsWith("Key")) return code[3]; // the same key in every alphabet
  return key;
}
