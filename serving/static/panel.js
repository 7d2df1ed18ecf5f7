// The frame that all questions share: a form on one side, the answer on the other, and who answered in what time.

import { ask, record } from "./api.js";
import { duration, el, fill, unique } from "./dom.js";
import { explain } from "./notice.js";

/**
 * A panel with a form.
 * @param {Object} parts
 * @param {string} parts.title - heading.
 * @param {string} parts.intro - one sentence below it.
 * @param {Object[]} parts.models - rows of /info that answer this kind; several give a choice.
 * @param {Node[]} parts.fields - of the form.
 * @param {{name: string, apply: function}[]} parts.examples - buttons that fill the fields.
 * @param {string} parts.action - what the button says.
 * @param {string} parts.path - where the request goes.
 * @param {function(): Object} parts.request - the request from the fields; throws a Mistake.
 * @param {function(Object, Object): Array} parts.render - nodes from the answer and the request.
 * @returns {HTMLElement}
 */
export function panel({ title, intro, models, fields, examples, action, path, request, render }) {
  const answer = el("div.answer", { "aria-live": "polite" }, el("p.quiet", {}, "The answer will stand here."));
  const button = el("button", { type: "submit" }, action);
  const model = modelChoice(models);
  let last = 0;

  async function submit(event) {
    event?.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    const turn = (last += 1);
    try {
      const asked = request();
      if (model.value) asked.model = model.value;
      button.setAttribute("aria-disabled", "true");
      button.textContent = "Asking …";
      answer.setAttribute("aria-busy", "true");
      const reply = await ask(path, asked);
      if (turn === last) fill(answer, render(reply, asked), footer(reply, record.at(-1)));
    } catch (error) {
      if (turn === last) fill(answer, error instanceof Mistake ? el("p.notice", { role: "alert" }, error.message) : explain(error));
    } finally {
      button.removeAttribute("aria-disabled");
      button.textContent = action;
      answer.removeAttribute("aria-busy");
      if (turn === last) answer.parentElement.scrollIntoView({ block: "nearest" }); // on a phone it stands below the form
    }
  }

  const form = el("form", {
    submit,
    keydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    },
  }, model.node, fields,
  el("div.row.actions", {}, button, el("span.quiet.small.wide-only", {}, "or Ctrl + Enter")));
  const chips = examples.length ? el("div.examples", { role: "group", "aria-label": "Examples" },
    el("span.quiet.small", {}, "Examples:"),
    examples.map(({ name, apply }) => el("button.chip", { type: "button", click: () => { apply(); submit(); } }, name))) : null;
  return el("div", {}, el("h2", {}, title), el("p.intro", {}, intro),
    el("div.halves", {}, el("section.card", { "aria-label": "Input" }, chips, form),
      el("section.card", { "aria-label": "Answer" }, answer)));
}

/** What the reader has to mend before there is anything to ask. */
export class Mistake extends Error {}

/** A field with its label. @returns {{node: HTMLElement, input: HTMLElement}} */
export function field(label, tag, attributes = {}, hint = "") {
  const id = unique("field");
  const hintId = hint ? `${id}-hint` : null;
  const input = el(tag, { id, "aria-describedby": hintId, dir: "auto", ...attributes });
  return { input, node: el("div.field", {}, el("label", { for: id }, label), input,
    hint ? el("p.quiet.small", { id: hintId }, hint) : null) };
}

/** A box to tick. @returns {{node: HTMLElement, input: HTMLInputElement}} */
export function tick(label, checked) {
  const id = unique("tick");
  const input = el("input", { id, type: "checkbox", checked });
  return { input, node: el("div.tick", {}, input, el("label", { for: id }, label)) };
}

/** A choice among named values. @returns {{node: HTMLElement, input: HTMLSelectElement}} */
export function choice(label, options, chosen) {
  const id = unique("choice");
  const input = el("select", { id },
    options.map(([value, name]) => el("option", { value, selected: value === chosen }, name)));
  return { input, node: el("div.field.inline", {}, el("label", { for: id }, label), input) };
}

/** The text of a field, which must not be blank. */
export function needed(input, what) {
  if (input.value.trim()) return input.value;
  input.focus();
  throw new Mistake(`Write ${what} first.`);
}

function modelChoice(models) {
  if (models.length < 2) return { get value() { return models[0]?.name || ""; }, node: null };
  const made = choice("Model", models.map(({ name }) => [name, name]), models[0].name);
  return { get value() { return made.input.value; }, node: made.node };
}

function footer(reply, entry) {
  const usage = (Array.isArray(reply.usage) ? reply.usage : (reply.results || []).map((one) => one?.usage)).filter(Boolean);
  const tokens = usage.reduce((sum, one) => sum + (one.tokens || 0), 0);
  const windows = usage.reduce((sum, one) => sum + (one.windows || 0), 0);
  const parts = [reply.model && `${reply.model}${reply.version ? ` (${reply.version})` : ""}`,
    tokens && `${tokens} tokens`, usage.some((one) => one.truncated) && "cut to what the model reads", windows > usage.length && `${windows} windows`,
    entry && `${duration(entry.total)} in all`, entry?.queue !== undefined && `${duration(entry.queue)} waiting`,
    entry?.infer !== undefined && `${duration(entry.infer)} computing`];
  return el("p.quiet.small.footer", {}, parts.filter(Boolean).join(" · "));
}
