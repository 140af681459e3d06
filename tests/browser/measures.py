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
# WCAG 2.2, 1.4.3: contrast of the text's colour against the first opaque background behind it.
CONTRAST = """selector => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  let element = document.querySelector(selector);
  const text = luminance(rgb(getComputedStyle(element).color));
  let behind = element;
  while (behind && rgb(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const back = luminance(rgb(getComputedStyle(behind ?? document.body).backgroundColor));
  return (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
}"""
