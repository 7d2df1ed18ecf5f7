// Ask a passage: the answer stands marked where it was found, the runners-up beside it.

import { bar, el, percent } from "../dom.js";
import { field, needed, panel, tick } from "../panel.js";
import { mark, marked } from "../text.js";

const RIVER = "The lighthouse on Kettle Point was finished in 1871, after four summers of work. Its lamp burned rape oil " +
  "until 1904, when Marta Lindqvist, the third keeper, had it changed to paraffin. On clear nights the light was seen " +
  "from the harbour of Aldersund, thirty-one kilometres away 🚢. The last keeper left in 1968.";
const EXAMPLES = [
  ["A lighthouse", "Who had the lamp changed?", RIVER],
  ["Not in the text", "How tall is the lighthouse?", RIVER],
  ["Emoji 🦊 and accents", "Where does the fox sleep?", "🦊🦊 The fox of the Café Zoë sleeps under the stove. 👩‍👩‍👧 The family feeds it."],
];
const MOST = 4;

export function build(models) {
  const question = field("Question", "input", { type: "text", autocomplete: "off" });
  const context = field("Passage", "textarea", { rows: 9 });
  const impossible = tick("“Not in the passage” is a possible answer", true);
  const set = (q, c) => { question.input.value = q; context.input.value = c; };
  set(EXAMPLES[0][1], EXAMPLES[0][2]);
  return panel({
    title: "Ask a passage", intro: "The answer is a piece of the passage, or that the passage has none.", models,
    fields: [question.node, context.node, impossible.node],
    examples: EXAMPLES.map(([name, q, c]) => ({ name, apply: () => set(q, c) })),
    action: "Find the answer", path: "api/v1/qa",
    request: () => ({
      inputs: [{ question: needed(question.input, "a question"), context: needed(context.input, "a passage") }],
      top_k: MOST, handle_impossible: impossible.input.checked,
    }),
    render: (reply, asked) => show(reply.results[0], asked.inputs[0].context),
  });
}

function show(result, context) {
  const answers = result.answers || [];
  const best = answers[0];
  const spans = answers.filter((one) => one.end > one.start);
  const rank = (one) => answers.indexOf(one) + 1;
  const marks = spans.map((one) => ({
    start: one.start, end: one.end,
    make: (part) => mark(part, { kind: one === best ? "best" : "other", label: rank(one), title: `${rank(one)}: ${percent(one.score)}` }),
  }));
  return [
    best && best.end > best.start
      ? el("p.verdict", {}, el("strong", { dir: "auto" }, best.text), el("span.quiet", {}, ` ${percent(best.score)}`))
      : el("p.verdict.none", {}, el("strong", {}, "The passage does not say."),
        best ? el("span.quiet", {}, ` ${percent(best.score)}`) : null),
    el("p.passage", { dir: "auto" }, marked(context, marks)),
    answers.length ? [el("h3", {}, "Candidates"), el("ol.bars", {},
      answers.map((one) => bar(one.end > one.start ? one.text : "(no answer)", one.score, { best: one === best })))] : null,
    Number.isFinite(result.null_score_diff)
      ? el("p.quiet.small.below", {}, `Score of “no answer” less that of the best span: ${result.null_score_diff.toFixed(2)}`) : null,
  ];
}
