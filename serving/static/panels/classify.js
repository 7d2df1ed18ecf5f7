// Classify a text or a pair: a bar for each label.

import { bar, el, fill } from "../dom.js";
import { field, needed, panel } from "../panel.js";

const EXAMPLES = [
  ["Liked", "The soup was hot, the bread was fresh, and nobody hurried us. We will come back.", ""],
  ["Disliked", "Two hours late, and then the seats were wet.", ""],
  ["A pair", "A man is playing the cello on a bridge.", "Somebody makes music outdoors."],
];
const SHOWN = 12;

export function build(models) {
  const text = field("Text", "textarea", { rows: 5 });
  const pair = field("Second text", "textarea", { rows: 3 }, "Only for models that judge two texts together; else leave it empty.");
  const set = (a, b) => { text.input.value = a; pair.input.value = b; };
  set(EXAMPLES[0][1], EXAMPLES[0][2]);
  return panel({
    title: "Classify", intro: "Each label with the probability that the model gives it.", models,
    fields: [text.node, pair.node],
    examples: EXAMPLES.map(([name, a, b]) => ({ name, apply: () => set(a, b) })),
    action: "Classify", path: "api/v1/classify",
    request: () => {
      const first = needed(text.input, "a text");
      return { inputs: [pair.input.value.trim() ? [first, pair.input.value] : first] };
    },
    render: (reply) => show(reply.results[0]),
  });
}

function show(labels) {
  if (!labels.length) return [el("p", {}, "The model gave no label.")];
  if (labels.length === 1) { // one output is a number, not a probability
    return [el("p.verdict", {}, el("strong", {}, labels[0].score.toFixed(3)), el("span.quiet", { dir: "auto" }, ` ${labels[0].label}`))];
  }
  const bars = el("ol.bars", {});
  const draw = (count) => fill(bars, labels.slice(0, count).map((one, i) => bar(one.label, one.score, { best: i === 0 })));
  draw(SHOWN);
  const more = labels.length > SHOWN ? el("button.plain", {
    type: "button",
    click: (event) => { draw(labels.length); event.target.remove(); },
  }, `All ${labels.length} labels`) : null;
  return [el("p.verdict", {}, el("strong", { dir: "auto" }, labels[0].label)), bars, more];
}
