// The description of the wire for people: openapi.json as a page that can be searched, with a curl line for each operation.

import { get } from "./api.js";
import { el, fill } from "./dom.js";
import { explain } from "./notice.js";
import { example, follow, rows, typeName } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const byId = (id) => document.getElementById(id);
let operations = [];
let groups = new Map(); // tag -> what it is called

async function start() {
  try {
    const { body } = await get("openapi.json");
    byId("title").textContent = body.info?.title || "API";
    document.title = byId("title").textContent;
    byId("about").textContent = [body.info?.version && `version ${body.info.version}`].filter(Boolean).join(" ");
    operations = read(body);
    groups = new Map((body.tags || []).map((tag) => [tag.name, tag.description || tag.name]));
    fill(byId("operations"), body.info?.description ? prose(body.info.description) : null, operations.map((one) => one.node));
    contents();
    search();
    if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (error) {
    fill(byId("notice"), explain(error));
  }
}

function read(root) {
  const found = [];
  for (const [path, item] of Object.entries(root.paths || {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const operation = item[method];
      const one = { method, path, operation, id: `${method}-${path.replace(/[^\w]+/g, "-").replace(/^-|-$/g, "") || "root"}`,
        group: operation.tags?.[0] || "other" };
      one.node = section(one, item.parameters || [], root);
      one.haystack = `${method} ${path} ${one.node.textContent}`.toLowerCase();
      found.push(one);
    }
  }
  const order = [...new Set([...(root.tags || []).map((tag) => tag.name), ...found.map((one) => one.group)])];
  return found.sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
}

function section({ method, path, operation, id }, shared, root) {
  const parameters = [...shared, ...(operation.parameters || [])].map((one) => follow(one, root));
  const body = follow(operation.requestBody, root);
  const media = body.content?.["application/json"];
  const secured = (operation.security ?? root.security ?? []).some((one) => Object.keys(one).length);
  return el("section.operation.card", { id, "aria-labelledby": `${id}-name` },
    el("h2.operation-name", { id: `${id}-name` }, el(`span.method.${method}`, {}, method.toUpperCase()), " ",
      el("a.code", { href: `#${id}` }, path)),
    operation.summary ? el("p.summary", {}, operation.summary) : null,
    operation.description ? prose(operation.description) : null,
    secured ? el("p.quiet.small", {}, "Wants an API key, where the server has keys.") : null,
    parameters.length ? fields("Parameters", parameters.map((one) => ({
      name: `${one.name} (${one.in})`, type: typeName(one.schema, root), required: one.required, note: one.description || "", fallback: "" }))) : null,
    media?.schema ? fields("Request", rows(media.schema, root)) : null,
    curl(method, path, media, secured, root),
    responses(operation.responses || {}, root));
}

function fields(title, list) {
  if (!list.length) return null;
  return [el("h3", {}, title), el("div.scroll", { tabindex: "0", role: "region", "aria-label": title }, el("table.fields", {},
    el("thead", {}, el("tr", {}, ["Field", "Type", "Meaning"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, list.map((one) => el("tr", {},
      el("th", { scope: "row" }, el("span.code", {}, one.name), one.required ? el("span.needed", {}, "required") : null),
      el("td", {}, one.type), el("td", {}, one.note, one.fallback ? el("span.quiet", {}, `${one.note ? " " : ""}Default ${one.fallback}`) : null))))))];
}

function curl(method, path, media, secured, root) {
  const address = new URL(path.replace(/^\//, ""), document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
  const lines = [`curl -s ${/[{}]/.test(address) ? `'${address}'` : address}`];
  if (method !== "get") lines[0] = lines[0].replace("curl -s", media ? "curl -s" : `curl -s -X ${method.toUpperCase()}`);
  if (secured) lines.push(`-H "Authorization: Bearer $KEY"`);
  if (media) {
    const body = media.example ?? Object.values(media.examples || {})[0]?.value ?? example(media.schema, root);
    lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  }
  const text = lines.join(" \\\n  ");
  const copy = navigator.clipboard ? el("button.chip.copy", {
    type: "button",
    click: async (event) => {
      await navigator.clipboard.writeText(text);
      event.target.textContent = "Copied";
      setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
    },
  }, "Copy") : null;
  return [el("h3", {}, "With curl"), el("div.snippet", {}, el("pre", { tabindex: "0" }, text), copy)];
}

function responses(all, root) {
  const list = Object.entries(all).sort(([a], [b]) => a.localeCompare(b));
  const line = ([status, given]) => {
    const response = follow(given, root);
    const [type, media] = Object.entries(response.content || {})[0] || [];
    const inner = media?.schema && status.startsWith("2") ? rows(media.schema, root) : [];
    const head = [el(`span.state.${status.startsWith("2") ? "good" : "bad"}`, {}, status), " ", response.description || "",
      type ? el("span.quiet.small", {}, ` ${type}`) : null];
    return el("li", {}, inner.length ? el("details", {}, el("summary", {}, head), fields("Fields", inner)) : head);
  };
  const [usual, refusals] = [list.filter(([status]) => Number(status) < 400), list.filter(([status]) => !(Number(status) < 400))];
  return [el("h3", {}, "Answers"), el("ul.responses", {}, usual.map(line)), refusals.length ? el("details.responses", {},
    el("summary", {}, "Refusals ", el("span.quiet", {}, refusals.map(([status]) => status).join(", "))),
    el("ul", {}, refusals.map(line))) : null];
}

/** Paragraphs of a description; `code` in it is set as code, everything else is text. */
function prose(text) {
  return el("div.prose", {}, text.split(/\n\s*\n/).map((paragraph) => el("p", {},
    paragraph.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part)))));
}

function contents() {
  const used = [...new Set(operations.map((one) => one.group))];
  fill(byId("contents"), used.map((group) => el("div.contents-group", {}, el("h3", {}, groups.get(group) || group),
    el("ul", {}, operations.filter((one) => one.group === group).map((one) => {
      one.entry = el("li", {}, el("a", { href: `#${one.id}` }, el(`span.method.small-method.${one.method}`, {}, one.method.toUpperCase()), " ", one.path));
      return one.entry;
    })))));
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const one of operations) {
    const hit = words.every((word) => one.haystack.includes(word));
    one.node.hidden = one.entry.hidden = !hit;
    count += hit ? 1 : 0;
  }
  document.querySelectorAll(".contents-group").forEach((group) => { group.hidden = !group.querySelector("li:not([hidden])"); });
  byId("found").textContent = words.length ? `${count} of ${operations.length} operations` : `${operations.length} operations`;
}

byId("search").addEventListener("input", search);
start();
