// The demo page: asks what the loaded models can do and shows a tab for each of it.

import { Failure, get, key, setKey } from "./api.js";
import { el, fill } from "./dom.js";
import { explain } from "./notice.js";
import * as classify from "./panels/classify.js";
import * as compare from "./panels/compare.js";
import * as fillMask from "./panels/fill_mask.js";
import * as live from "./panels/live.js";
import * as ner from "./panels/ner.js";
import * as qa from "./panels/qa.js";

// kind of request -> tab
const PANELS = [
  { kind: "qa", id: "ask", name: "Ask", build: qa.build },
  { kind: "classify", id: "classify", name: "Classify", build: classify.build },
  { kind: "ner", id: "entities", name: "Entities", build: ner.build },
  { kind: "fill-mask", id: "masks", name: "Masks", build: fillMask.build },
  { kind: "embed", id: "compare", name: "Compare", build: compare.build },
];
const RETRY_MS = 2000;
const byId = (id) => document.getElementById(id);
let tabs = [];
let retry = null;
let wanted = location.hash.slice(1); // the tab that the address names

async function start() {
  clearTimeout(retry);
  try {
    const { body } = await get("info");
    const models = Array.isArray(body?.models) ? body.models : [];
    fill(byId("notice"));
    health(models);
    show(models);
    if (models.some((model) => !["ready", "failed"].includes(model.state)) || !models.length) retry = setTimeout(start, RETRY_MS);
  } catch (error) {
    byId("health").textContent = "";
    fill(byId("notice"), explain(error), el("button", { type: "button", click: start }, "Try again"));
    if (!(error instanceof Failure) || [0, 429, 502, 503].includes(error.status)) retry = setTimeout(start, 3 * RETRY_MS);
  }
}

function health(models) {
  const ready = models.filter((model) => model.state === "ready").length;
  const text = !models.length ? "No model is loaded yet." : ready === models.length
    ? `${ready} ${ready === 1 ? "model" : "models"} ready`
    : `${ready} of ${models.length} models ready`;
  fill(byId("health"), el(`span.dot.${ready === models.length && ready ? "good" : "bad"}`, { "aria-hidden": "true" }), text);
}

/** Makes the tabs; one whose models stayed the same stays as it is, with what was typed into it. */
function show(models) {
  const chosen = PANELS.map((one) => ({ ...one, models: models.filter((model) => (model.kinds || []).includes(one.kind)) }))
    .filter((one) => one.models.length);
  const made = [...chosen, { id: "live", name: "Live", build: live.build, models: [] }].map((one) => {
    const signature = JSON.stringify([one.id, one.models.map((model) => model.name)]);
    return tabs.find((tab) => tab.signature === signature) || { ...one, signature,
      tab: el("button.tab", { id: `tab-${one.id}`, role: "tab", type: "button", "aria-controls": `panel-${one.id}`, click: () => select(one.id) }, one.name),
      panel: el("div", { id: `panel-${one.id}`, role: "tabpanel", "aria-labelledby": `tab-${one.id}`, tabindex: "-1", hidden: true }) };
  });
  if (made.length === tabs.length && made.every((one, i) => one === tabs[i])) return;
  const before = tabs.find((one) => !one.panel.hidden && one.id !== "live")?.id; // nobody chose "live" while models load
  tabs.filter((one) => !made.includes(one)).forEach((one) => one.made?.hidden?.());
  tabs = made;
  const focused = document.activeElement;
  fill(byId("tabs"), tabs.map((one) => one.tab));
  fill(byId("panels"), tabs.map((one) => one.panel));
  byId("tabs").hidden = false;
  select(tabs.some((one) => one.id === wanted) ? wanted : before);
  if (focused?.isConnected) focused.focus();
}

function select(id, { focus = false } = {}) {
  const chosen = tabs.find((one) => one.id === id) || tabs[0];
  if (chosen.id === id) wanted = id;
  for (const one of tabs) {
    const on = one === chosen;
    one.tab.setAttribute("aria-selected", String(on));
    one.tab.tabIndex = on ? 0 : -1;
    if (on && !one.made) {
      const made = one.build(one.models);
      one.made = made instanceof Node ? { node: made } : made;
      fill(one.panel, one.made.node);
    }
    if (one.panel.hidden === on) one.made?.[on ? "shown" : "hidden"]?.();
    one.panel.hidden = !on;
  }
  if (focus) chosen.tab.focus();
  if (wanted === chosen.id && location.hash.slice(1) !== wanted) history.replaceState(null, "", `#${wanted}`);
}

byId("tabs").addEventListener("keydown", (event) => {
  const now = tabs.findIndex((one) => one.tab === document.activeElement);
  const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (now < 0 || next === undefined) return;
  event.preventDefault();
  select(tabs[(next + tabs.length) % tabs.length].id, { focus: true });
});
window.addEventListener("hashchange", () => {
  const id = location.hash.slice(1);
  if (tabs.some((one) => one.id === id)) select(id); // "#main" is the skip link's
});
window.addEventListener("online", start);

byId("key").value = key();
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const kept = setKey(byId("key").value.trim());
  if (kept) byId("key-box").open = false;
  else fill(byId("notice"), el("p.notice.error", { role: "alert" }, "This browser does not let the page keep the key."));
  if (kept) start();
});
byId("key-clear").addEventListener("click", () => {
  byId("key").value = "";
  setKey("");
  start();
});

start();
