// Words for a gap: a list of bars for each [MASK].

import { bar, el } from "../dom.js";
import { field, needed, panel } from "../panel.js";

const MASK = "[MASK]";
const EXAMPLES = [
  ["A capital", "Paris is the capital of [MASK]."],
  ["Two gaps", "She poured the [MASK] into a [MASK] and drank it."],
  ["Chosen words", "The weather in November is [MASK].", "cold, warm, wet"],
  ["中文", "今天天[MASK]很好。"],
];
const SHOWN = 8;

export function build(models) {
  const text = field("Text", "textarea", { rows: 4 }, `${MASK} stands where a word is missing.`);
  const targets = field("Only among these words", "input", { type: "text", autocomplete: "off" }, "With commas; empty for all words.");
  const insert = el("button.plain", {
    type: "button",
    click: () => {
      const { selectionStart, selectionEnd } = text.input;
      text.input.setRangeText(MASK, selectionStart, selectionEnd, "end");
      text.input.focus();
    },
  }, `Put ${MASK} at the cursor`);
  const set = (value, words = "") => { text.input.value = value; targets.input.value = words; };
  set(EXAMPLES[0][1]);
  return panel({
    title: "Fill masks", intro: "The words that fit a gap, with their probabilities.", models,
    fields: [text.node, insert, targets.node],
    examples: EXAMPLES.map(([name, value, words]) => ({ name, apply: () => set(value, words) })),
    action: "Fill", path: "api/v1/fill-mask",
    request: () => {
      const words = targets.input.value.split(/[,，、]/).map((word) => word.trim()).filter(Boolean);
      return { inputs: [needed(text.input, `a text with ${MASK}`)], top_k: SHOWN, ...(words.length ? { targets: words } : {}) };
    },
    render: (reply) => show(reply.results[0]),
  });
}

function show(gaps) {
  return gaps.map((words, number) => [
    gaps.length > 1 ? el("h3", {}, `Gap ${number + 1}`) : null,
    words.length && gaps.length === 1 ? el("p.verdict", { dir: "auto" }, words[0].sequence) : null,
    el("ol.bars", {}, words.map((one, i) => bar(one.token_str, one.score, { best: i === 0 }))),
  ]);
}
