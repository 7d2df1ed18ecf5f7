// Makes elements. Text only ever becomes text: nothing here, nor anywhere else on these pages, parses markup.

/**
 * An element.
 * @param {string} tag - "p", or "p.quiet.small" with classes.
 * @param {Object} [attributes] - attributes; a function is a listener; null, undefined and false are left out.
 * @param {...(Node|string|number|null|undefined|Array)} children - strings become text nodes.
 */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map(
    (child) => (child instanceof Node ? child : String(child))));
  return element;
}

/** Puts children in the place of all that an element held. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

/** 0.9341 as "93.4 %"; small shares keep a digit that is not zero. */
export function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value.toFixed(value > 99.9 && value < 100 ? 2 : 1)} %`;
}

/** Seconds or milliseconds for people: 0.8 ms, 12 ms, 1.35 s. */
export function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

/** One row of a bar chart: name, bar, number. The number is text, so the bar is decoration to a screen reader. */
export function bar(name, share, { text = percent(share), best = false, kind = "" } = {}) {
  const fillBar = el("span.bar-fill");
  fillBar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  const row = el("li.bar", {}, el("span.bar-name", { dir: "auto" }, name),
    el("span.bar-track", { "aria-hidden": "true" }, fillBar), el("span.bar-value", {}, text));
  if (best) row.classList.add("best");
  if (kind) row.classList.add(kind);
  return row;
}

let counter = 0;

/** An id that no other element has. */
export function unique(stem) {
  counter += 1;
  return `${stem}-${counter}`;
}
