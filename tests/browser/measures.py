"""What is measured of a page, as scripts for the browser."""

from __future__ import annotations

# Ids of texts that are wider than their place or the window.
CUT_OFF = """() => [...document.querySelectorAll("h1, h2, p, dt, dd, li, button, span:not(.hidden)")]
  .filter((e) => e.offsetParent
    && (e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth + 1))
  .map((e) => e.id || e.textContent)"""
# The same, and what can be pressed and is smaller than 48 px either way, and words that no cashier should read.
AMISS = f"""() => {{
  const small = [...document.querySelectorAll("button, input, label.tick")]
    .filter((e) => e.offsetParent && e.type !== "checkbox")
    .map((e) => [e.id || e.textContent, e.getBoundingClientRect()])
    .filter(([, box]) => box.width < 48 || box.height < 48)
    .map(([name]) => "small: " + name);
  const slips = document.body.innerText.match(/undefined|null|NaN|[{{}}]/g) ?? [];
  return [...small, ...slips, ...({CUT_OFF})()];
}}"""
# Pieces of text that can be seen: [element, what it says, its lines]. Of a line's box only the core counts, where the
# letters are: fonts claim more room above and below than they use.
_TEXTS = """const texts = () => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || element.closest(".hidden")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const lines = [...range.getClientRects()].map((box) => new DOMRect(
      box.x, box.y + box.height / 4, box.width, box.height / 2));
    found.push([element, node.data.trim(), lines]);
  }
  return found;
};
const broken = (element) => [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).flatMap((node) =>
  [...node.data.matchAll(/…?[\\p{L}\\d]{2,}/gu)].filter(({ 0: word, index }) => {
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const [first, ...others] = [...range.getClientRects()].map(({ top }) => top);
    return others.some((top) => Math.abs(top - first) > 4);
  }).map(([word]) => word));"""
# Texts that leave a box that they stand in, or stand on another text, and words that are broken in two.
CLIPPED = f"""() => {{
  {_TEXTS}
  const found = texts(), amiss = [];
  const inside = (line, box) => line.left >= box.left - 1 && line.right <= box.right + 1
    && line.top >= box.top - 1 && line.bottom <= box.bottom + 1;
  for (const [element, text, lines] of found)
    for (let box = element; box; box = box.parentElement)
      if (!lines.every((line) => inside(line, box.getBoundingClientRect())))
        amiss.push(`${{text}} leaves ${{box.id || box.tagName}}`);
  for (const [element, text] of found)
    for (const word of broken(element)) amiss.push(`${{word}} is broken in ${{text}}`);
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
  found.forEach(([, text, lines], place) => found.slice(place + 1).forEach(([, other, others]) => {{
    if (lines.some((line) => others.some((one) => meet(line, one)))) amiss.push(`${{text}} stands on ${{other}}`);
  }}));
  return amiss;
}}"""
_CONTRAST = """const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    while (element && rgb(getComputedStyle(element).backgroundColor)[3] === 0) element = element.parentElement;
    return luminance(rgb(getComputedStyle(element ?? document.body).backgroundColor));
  };
  const contrast = (colour, element) => {
    const [one, other] = [luminance(rgb(colour)), behind(element)];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  };"""
# WCAG 2.2, 1.4.3: contrast of a text's colour against the first opaque background behind it.
CONTRAST = f"""selector => {{
  {_CONTRAST}
  const element = document.querySelector(selector);
  return contrast(getComputedStyle(element).color, element);
}}"""
# Texts with less than 4.5:1, and the edges of what can be pressed with less than 3:1 (1.4.11).
PALE = f"""() => {{
  {_TEXTS}
  {_CONTRAST}
  const pale = texts().filter(([element]) => contrast(getComputedStyle(element).color, element) < 4.5)
    .map(([, text]) => text);
  const faint = [...document.querySelectorAll("button, input[type=text], input[type=tel]")]
    .filter((e) => e.checkVisibility() && contrast(getComputedStyle(e).borderTopColor, e.parentElement) < 3)
    .map((e) => `edge of ${{e.id || e.textContent}}`);
  return [...pale, ...faint];
}}"""
