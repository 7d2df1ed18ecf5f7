// What the server is doing: its models and queues, and where the time of this page's requests went.

import { get, onRecord, record } from "../api.js";
import { duration, el, fill } from "../dom.js";
import { explain } from "../notice.js";

const EVERY_MS = 2000;
const SHOWN = 12;
const PARTS = [["tok", "reading"], ["queue", "waiting"], ["infer", "computing"], ["post", "answering"], ["rest", "on the way"]];

export function build() {
  const tiles = el("ul.tiles");
  const models = el("div");
  const requests = el("div");
  const trouble = el("div", { "aria-live": "polite" });
  const node = el("div", {}, el("h2", {}, "Live"),
    el("p.intro", {}, "Asked every two seconds while this tab is open."), trouble, tiles,
    el("section.card", {}, el("h3", {}, "Models"), models),
    el("section.card", {}, el("h3", {}, "Requests of this page"), requests));
  let timer = null;
  let asking = false;

  async function refresh() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const begun = performance.now();
      const ready = await get("readyz", { anyStatus: true });
      const trip = performance.now() - begun;
      const { body } = await get("info");
      fill(trouble);
      fill(tiles, summary(ready, trip, body));
      fill(models, table(body.models || []));
    } catch (error) {
      fill(trouble, explain(error));
    } finally {
      asking = false;
    }
  }

  const draw = () => fill(requests, chart());
  onRecord(draw);
  draw();
  return {
    node,
    shown() { refresh(); timer ??= setInterval(refresh, EVERY_MS); },
    hidden() { clearInterval(timer); timer = null; },
  };
}

function summary(ready, trip, info) {
  const stats = (info.models || []).map((model) => model.stats).filter(Boolean);
  const sum = (name) => stats.reduce((total, one) => total + (one[name] || 0), 0);
  const has = (name) => stats.some((one) => Number.isFinite(one[name]));
  const padded = sum("padded_tokens");
  const tile = (name, value, kind = "") => el(`li.tile${kind ? `.${kind}` : ""}`, {}, el("span.tile-value", {}, value), el("span.tile-name", {}, name));
  return [
    tile("ready", ready.status === 200 ? "yes" : "no", ready.status === 200 ? "good" : "bad"),
    tile("there and back", duration(trip)),
    has("queue_items") ? tile("texts waiting", sum("queue_items")) : null,
    has("queue_tokens") ? tile("tokens waiting", sum("queue_tokens")) : null,
    has("inflight") ? tile("in work", sum("inflight")) : null,
    has("batches") && sum("batches") ? tile("rows a batch", (sum("rows") / sum("batches")).toFixed(1)) : null,
    padded ? tile("padding", `${Math.round(100 * (1 - sum("tokens") / padded))} %`) : null,
    has("engine_restarts") ? tile("engine restarts", sum("engine_restarts"), sum("engine_restarts") ? "bad" : "") : null,
  ];
}

function table(models) {
  const names = ["Model", "State", "Task", "Answers", "Numbers", "Version"];
  return el("div.scroll", { tabindex: "0", role: "region", "aria-label": "Models" }, el("table", {},
    el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, models.map((model) => el("tr", {}, el("th", { scope: "row" }, model.name),
      el("td", {}, el(`span.state.${model.state === "ready" ? "good" : "bad"}`, {}, model.state || "–"), model.reason ? ` ${model.reason}` : null),
      el("td", {}, model.task || "–"), el("td", {}, (model.kinds || []).join(", ")), el("td", {}, model.dtype || "–"), el("td.code", {}, model.version || "–"))))));
}

function chart() {
  const done = record.filter((one) => one.status === 200).map((one) => one.total).sort((a, b) => a - b);
  if (!record.length) return [el("p.quiet", {}, "None yet: ask something in another tab.")];
  const at = (share) => done[Math.max(0, Math.ceil(share * done.length) - 1)];
  const rows = record.slice(-SHOWN).reverse();
  const longest = Math.max(...rows.map((one) => one.total), 1);
  return [
    done.length ? el("p", {}, `${record.length} asked, ${done.length} answered; half within ${duration(at(0.5))}, 95 % within ${duration(at(0.95))}.`)
      : el("p", {}, `${record.length} asked, none answered.`),
    el("ul.legend", { "aria-label": "Legend" }, PARTS.map(([key, name]) => el("li", {}, el(`span.swatch.t-${key}`, { "aria-hidden": "true" }), name))),
    el("ol.bars.timeline", { "aria-label": "Latest requests, newest first" }, rows.map((one) => line(one, longest))),
  ];
}

function line(entry, longest) {
  const known = ["tok", "queue", "infer", "post"].reduce((sum, key) => sum + (entry[key] || 0), 0);
  const parts = { ...entry, rest: Math.max(0, entry.total - known) };
  const words = PARTS.filter(([key]) => Number.isFinite(parts[key])).map(([key, name]) => `${name} ${duration(parts[key])}`).join(", ");
  const track = el("span.bar-track", { title: words, role: "img", "aria-label": words }, PARTS.map(([key]) => {
    const part = el(`span.bar-part.t-${key}`);
    part.style.width = `${(100 * (parts[key] || 0)) / longest}%`;
    return part;
  }));
  return el("li.bar", {}, el("span.bar-name", {}, entry.path.replace("api/v1/", ""), entry.status === 200 ? null
    : el("span.state.bad", {}, entry.status || "no answer")), track, el("span.bar-value", {}, duration(entry.total)));
}
