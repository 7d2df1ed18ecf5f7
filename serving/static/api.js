// Asks the server: the key, the time a request may take, errors in words, and a record of what each request took.

const KEY = "bert_ms.key";
const TIMEOUT_MS = 60_000;
const KEPT = 60;

/** What went wrong, in words for people. */
export class Failure extends Error {
  constructor(message, { status = 0, code = "", detail = "", retryAfter = null, requestId = "" } = {}) {
    super(message);
    Object.assign(this, { status, code, detail, retryAfter, requestId });
  }
}

const WORDS = {
  400: "The server could not read the request.",
  401: "This server wants an API key.",
  403: "The server does not accept this API key.",
  404: "The server does not know this.",
  408: "The request took too long to arrive.",
  413: "This is more text than the server takes in one request.",
  422: "The model cannot answer this.",
  429: "The server is busy: its queue is full.",
  500: "The server failed on this request.",
  502: "The way to the server is broken.",
  503: "The model is not ready.",
  504: "The answer was not there in time.",
};

/** Requests of this page, oldest first: {path, status, total, tok, queue, infer, post} in milliseconds. */
export const record = [];
const listeners = new Set();

/** Calls back after each recorded request. */
export function onRecord(listener) {
  listeners.add(listener);
}

export function key() {
  try {
    return sessionStorage.getItem(KEY) || "";
  } catch {
    return ""; // storage is switched off
  }
}

/** @returns {boolean} whether it could be kept. */
export function setKey(value) {
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    return true;
  } catch {
    return false;
  }
}

/** GET a path; does not raise for an error status of which the caller wants the body. */
export async function get(path, { anyStatus = false } = {}) {
  const response = await send(path, {});
  const body = await json(response);
  if (!response.ok && !anyStatus) throw failure(response, body);
  return { status: response.status, body };
}

/** POST a request to a model; what it took goes into the record. */
export async function ask(path, request) {
  const begun = performance.now();
  const entry = { path, status: 0, total: 0 };
  try {
    const response = await send(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
    });
    entry.status = response.status;
    Object.assign(entry, timings(response.headers.get("Server-Timing")));
    const body = await json(response);
    if (!response.ok) throw failure(response, body);
    if (body === null) throw new Failure("The server answered with something that is no JSON.", { status: response.status });
    return body;
  } finally {
    entry.total = performance.now() - begun;
    record.push(entry);
    if (record.length > KEPT) record.shift();
    listeners.forEach((listener) => listener(entry));
  }
}

/** "tok;dur=1.2, queue;dur=0.3" as {tok: 1.2, queue: 0.3}. */
export function timings(header) {
  const found = {};
  for (const part of (header || "").split(",")) {
    const match = part.match(/^\s*([\w-]+)\s*;(?:.*;)?\s*dur=([\d.eE+-]+)/);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

async function send(path, options) {
  const headers = { Accept: "application/json", ...options.headers };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(), TIMEOUT_MS);
  try {
    return await fetch(new URL(path, document.baseURI), { ...options, headers, signal: end.signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") {
      throw new Failure(`No answer within ${TIMEOUT_MS / 1000} seconds: the request was given up.`);
    }
    if (error instanceof TypeError && headers.Authorization && /header|ByteString|ISO-8859/i.test(error.message)) {
      throw new Failure("This API key holds characters that no key can have.", { status: 401 });
    }
    throw new Failure(navigator.onLine === false
      ? "This device is offline."
      : "The server cannot be reached: it is not running, or the network is down.");
  } finally {
    clearTimeout(timer);
  }
}

async function json(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function failure(response, body) {
  const status = response.status;
  const problem = body && typeof body === "object" ? (body.error && typeof body.error === "object" ? body.error : body) : {};
  const words = [WORDS[status] || `The server answered with status ${status}.`];
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (status === 503 && /draining/.test(problem.code || "")) words[0] = "The server is shutting down.";
  if (status === 503 && /restart/.test(problem.code || "")) words[0] = "The model is being restarted.";
  if (status === 503 && /loading/.test(problem.code || "")) words[0] = "The model is still loading.";
  if (retryAfter) words.push(`Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`);
  return new Failure(words.join(" "), {
    status, code: problem.code || "", detail: problem.detail || problem.message || "", retryAfter,
    requestId: response.headers.get("X-Request-Id") || "",
  });
}
