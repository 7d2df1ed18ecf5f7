// Says in words what went wrong, where the reader is looking.

import { el } from "./dom.js";
import { Failure } from "./api.js";

/** An alert about an error; what the server itself said of it stands below. */
export function explain(error) {
  const failure = error instanceof Failure ? error : new Failure(`This page failed: ${error.message}`);
  if (!(error instanceof Failure)) console.error(error);
  const wantsKey = (failure.status === 401 || failure.status === 403) && document.getElementById("key-box");
  if (wantsKey) wantsKey.open = true;
  return el("div.notice.error", { role: "alert" },
    el("p.notice-words", {}, failure.message),
    failure.detail ? el("p", { dir: "auto" }, failure.detail) : null,
    wantsKey ? el("p", {}, "Enter it under “API key” at the top of this page.") : null,
    failure.status ? el("p.quiet.small", {},
      [`Status ${failure.status}`, failure.code, failure.requestId && `request ${failure.requestId}`].filter(Boolean).join(" · "))
      : null);
}
