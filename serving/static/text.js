// Places in texts. The server counts Unicode code points, JavaScript counts UTF-16 units: an emoji is one there and two here.

import { el } from "./dom.js";

/** A text whose parts are asked for by code points. */
export class CodePoints {
  constructor(text) {
    this.points = Array.from(text);
  }

  get length() {
    return this.points.length;
  }

  slice(start, end) {
    return this.points.slice(start, end).join("");
  }
}

/**
 * A text with marks, which may overlap: where they do, the first one of the list is shown.
 * @param {string} text
 * @param {{start: number, end: number, make: function(string): Node}[]} marks - places in code points.
 * @returns {Node[]} text nodes and what `make` gave; together they hold the whole text.
 */
export function marked(text, marks) {
  const points = new CodePoints(text);
  const owner = new Array(points.length).fill(-1);
  for (let i = marks.length - 1; i >= 0; i -= 1) {
    owner.fill(i, Math.max(0, marks[i].start), Math.min(points.length, marks[i].end));
  }
  const nodes = [];
  for (let start = 0; start < points.length;) {
    let end = start + 1;
    while (end < points.length && owner[end] === owner[start]) end += 1;
    const part = points.slice(start, end);
    nodes.push(owner[start] < 0 ? document.createTextNode(part) : marks[owner[start]].make(part));
    start = end;
  }
  return nodes;
}

/** A <mark> with a small label behind it, which a screen reader reads too. */
export function mark(part, { label = "", kind = "", title = "" } = {}) {
  const element = el("mark", { title: title || null, dir: "auto" }, part,
    label === "" ? null : el("span.mark-label", {}, el("span.for-readers", {}, " ("), label,
      el("span.for-readers", {}, ")")));
  if (kind) element.classList.add(...kind.split(" "));
  return element;
}
