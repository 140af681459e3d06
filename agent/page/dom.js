// Writing into a document: text and elements only, never markup.

export const at = (id) => document.getElementById(id);

export function write(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text; // an equal text is not announced again
}

// An element with attributes, properties (as .value) and handlers (as onclick); what is null or false is left out.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith(".")) element[name.slice(1)] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

// Shows what `model` says by what `build` makes of it, and leaves the old where nothing has changed: a field keeps its
// focus and what was typed.
export function fill(element, model, build) {
  const told = JSON.stringify(model);
  if (element.told === told) return;
  element.told = told;
  const focused = element.contains(document.activeElement) ? document.activeElement.getAttribute("aria-keyshortcuts") : null;
  element.replaceChildren(...build());
  if (focused) element.querySelector(`[aria-keyshortcuts="${CSS.escape(focused)}"]`)?.focus();
}
