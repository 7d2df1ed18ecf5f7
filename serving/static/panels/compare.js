// Sentences against each other: the cosines of their vectors, as a heat map with numbers.

import { el } from "../dom.js";
import { field, Mistake, needed, panel } from "../panel.js";

const EXAMPLES = [
  ["Six sentences", ["The ferry leaves at nine in the morning.", "The boat departs at 9 am.", "Our cat sleeps on the radiator.",
    "A kitten is napping where it is warm.", "Interest rates were raised again.", "The central bank made loans dearer."]],
  ["Questions", ["How do I reset my password?", "I forgot my login, what now?", "Where is my parcel?", "When will my order arrive?"]],
];
const MOST = 12;
const COLD = [238, 243, 250];
const HOT = [18, 58, 114];

export function build(models) {
  const text = field("Sentences", "textarea", { rows: 9 }, `One a line, two to ${MOST}.`);
  text.input.value = EXAMPLES[0][1].join("\n");
  return panel({
    title: "Compare sentences", intro: "How close sentences are in meaning: 1 is the same, 0 is unrelated.", models,
    fields: [text.node],
    examples: EXAMPLES.map(([name, lines]) => ({ name, apply: () => { text.input.value = lines.join("\n"); } })),
    action: "Compare", path: "api/v1/embed",
    request: () => {
      const lines = needed(text.input, "some sentences").split("\n").map((line) => line.trim()).filter(Boolean);
      if (lines.length < 2) throw new Mistake("Write at least two sentences, each on a line of its own.");
      if (lines.length > MOST) throw new Mistake(`These are ${lines.length} sentences: the page compares ${MOST} at most.`);
      return { inputs: lines, normalize: true, encoding_format: "float" };
    },
    render: (reply, asked) => show(vectors(reply), asked.inputs),
  });
}

/** The vectors of an answer, of length 1. */
function vectors(reply) {
  return reply.results.map((one) => {
    const vector = Array.isArray(one) ? one : one.embedding;
    const norm = Math.hypot(...vector) || 1;
    return vector.map((value) => value / norm);
  });
}

function show(rows, sentences) {
  const cosine = (a, b) => rows[a].reduce((sum, value, i) => sum + value * rows[b][i], 0);
  const numbers = sentences.map((_, i) => i);
  const pairs = numbers.flatMap((a) => numbers.slice(a + 1).map((b) => ({ a, b, score: cosine(a, b) })));
  const closest = pairs.reduce((one, two) => (two.score > one.score ? two : one));
  const cell = (a, b) => {
    const score = a === b ? 1 : cosine(a, b);
    const made = el("td.heat", { title: `${sentences[a]}\n${sentences[b]}` }, score.toFixed(2).replace("-0.00", "0.00"));
    paint(made, score);
    if ((a === closest.a && b === closest.b) || (a === closest.b && b === closest.a)) made.classList.add("closest");
    return made;
  };
  return [
    el("p.verdict.small-verdict", {}, "Closest: ", el("strong", { dir: "auto" }, sentences[closest.a]), " and ",
      el("strong", { dir: "auto" }, sentences[closest.b]), el("span.quiet", {}, ` ${closest.score.toFixed(2)}`)),
    el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Heat map" }, el("table.heat-map", {},
      el("caption.for-readers", {}, "Cosine of each two sentences"),
      el("thead", {}, el("tr", {}, el("td"), numbers.map((i) => el("th", { scope: "col", title: sentences[i] }, i + 1)))),
      el("tbody", {}, numbers.map((a) => el("tr", {}, el("th", { scope: "row" }, el("span.heat-number", {}, `${a + 1}`),
        el("span.heat-name", { dir: "auto" }, sentences[a])), numbers.map((b) => cell(a, b))))))),
    el("ol.heat-key", {}, sentences.map((sentence, i) => el("li", { dir: "auto" }, el("span.heat-number", {}, i + 1), sentence))),
  ];
}

/** Colours a cell; its ink is black or white, whichever is read better on it. */
function paint(cell, score) {
  const share = Math.max(0, Math.min(1, score));
  const rgb = COLD.map((from, i) => Math.round(from + share * (HOT[i] - from)));
  const [r, g, b] = rgb.map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  cell.style.backgroundColor = `rgb(${rgb.join(" ")})`;
  cell.style.color = (luminance + 0.05) ** 2 > 1.05 * 0.05 ? "#000" : "#fff";
}
