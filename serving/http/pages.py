"""The pages for people: the demo at `/`, the description of the wire at `/docs`, and the files that both load.

What they need of the wire: `/openapi.json`; and `/info` with `models`, a list of `Repository.index()` rows (name, task,
kinds, dtype, version, state, reason), to which `stats` (queue_items, queue_tokens, inflight, ...) may be added. Links
are relative, so that the pages work below any prefix.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, send_from_directory

NAME = "pages"
HERE = Path(__file__).resolve().parent.parent
# Everything comes from this server, nothing is inline: a text that became markup would still not run.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def blueprint() -> Blueprint:
    """Routes `/`, `/docs` and `/static/...`; they hold no secret, so no key guards them."""
    pages = Blueprint(NAME, __name__, static_folder=str(HERE / "static"), static_url_path="/static")

    @pages.get("/")
    def demo() -> Response:
        return _page("index.html")

    @pages.get("/docs")
    def docs() -> Response:
        return _page("docs.html")

    @pages.after_request
    def guard(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-cache"
        return response

    return pages


def _page(name: str) -> Response:
    return send_from_directory(HERE / "templates", name)
