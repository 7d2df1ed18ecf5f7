// Entities of a text, highlighted where they stand, with a legend.

import { el, percent } from "../dom.js";
import { choice, field, needed, panel } from "../panel.js";
import { mark, marked } from "../text.js";

const EXAMPLES = [
  ["News", "Marta Lindqvist of the Aldersund Harbour Company flew from Oslo to São Paulo on Tuesday to sign with Brasilmar."],
  ["Emoji", "🎉 Yesterday Ana Kovač opened her bakery in Zagreb 🥐, next to the National Library."],
  ["中文", "王小明昨天从北京飞往上海，参加华东师范大学的会议。"],
];
const COLOURS = 8;
// The usual names keep their colour from text to text; the others get one by their letters.
const KNOWN = { PER: 0, PERSON: 0, NAME: 0, ORG: 1, ORGANIZATION: 1, CORPORATION: 1, COMPANY: 1, LOC: 2, LOCATION: 2, GPE: 2, MISC: 3 };

export function build(models) {
  const text = field("Text", "textarea", { rows: 7 });
  const aggregation = choice("Pieces are joined", [["simple", "as they come"], ["first", "by a word's first piece"],
    ["average", "by a word's mean"], ["max", "by a word's surest piece"], ["none", "not at all"]], "first");
  text.input.value = EXAMPLES[0][1];
  return panel({
    title: "Find entities", intro: "Names and other entities, coloured by their kind.", models,
    fields: [text.node, aggregation.node],
    examples: EXAMPLES.map(([name, value]) => ({ name, apply: () => { text.input.value = value; } })),
    action: "Find entities", path: "api/v1/ner",
    request: () => ({ inputs: [needed(text.input, "a text")], aggregation: aggregation.input.value }),
    render: (reply, asked) => show(reply.results[0], asked.inputs[0]),
  });
}

function show(entities, text) {
  if (!entities.length) return [el("p.verdict.none", {}, el("strong", {}, "No entity found.")), el("p.passage", { dir: "auto" }, text)];
  const kinds = [...new Set(entities.map((one) => bare(one.entity)))].sort();
  const colour = colours(kinds);
  const marks = entities.map((one) => ({
    start: one.start, end: one.end,
    make: (part) => mark(part, { kind: `entity ${colour.get(bare(one.entity))}`, label: one.entity, title: `${one.entity}: ${percent(one.score)}` }),
  }));
  return [
    el("ul.legend", { "aria-label": "Legend" }, kinds.map((kind) => el("li", {},
      el(`span.swatch.${colour.get(kind)}`, { "aria-hidden": "true" }), kind,
      el("span.quiet", {}, ` × ${entities.filter((one) => bare(one.entity) === kind).length}`)))),
    el("p.passage", { dir: "auto" }, marked(text, marks)),
    el("h3", {}, "Found"),
    el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Entities found" }, el("table", {}, el("thead", {}, el("tr", {},
      ["Entity", "Kind"].map((name) => el("th", { scope: "col" }, name)),
      ["Score", "Place"].map((name) => el("th.number", { scope: "col" }, name)))),
    el("tbody", {}, entities.map((one) => el("tr", {}, el("td", { dir: "auto" }, one.text), el("td", {}, one.entity),
      el("td.number", {}, percent(one.score)), el("td.number", {}, `${one.start}–${one.end}`)))))),
  ];
}

function bare(label) {
  return label.replace(/^[BI]-/, "");
}

/** A colour for each kind, no two alike while there are colours left. */
function colours(kinds) {
  const chosen = new Map();
  const taken = new Set();
  const byName = (kind) => KNOWN[kind.toUpperCase()] ?? [...kind].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % COLOURS;
  for (const kind of [...kinds].sort((a, b) => (b.toUpperCase() in KNOWN) - (a.toUpperCase() in KNOWN))) {
    let colour = byName(kind);
    while (taken.has(colour) && taken.size < COLOURS) colour = (colour + 1) % COLOURS;
    taken.add(colour);
    chosen.set(kind, `e${colour}`);
  }
  return chosen;
}
