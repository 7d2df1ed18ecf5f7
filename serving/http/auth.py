"""API keys: known by their hash, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

from ..settings import hashed
from .problems import Refusal

LONGEST_KEY = 512


class Headers(Protocol):
    """A request's, by name."""

    def get(self, name: str, /) -> str | None: ...


class Keys:
    """Who may use a port.

    Args:
        hashes: `sha256:...` of the keys that are let in; with none, everybody is.
        others: of keys that are known, but not let in here.
    """

    def __init__(self, hashes: Sequence[str], others: Sequence[str] = ()):
        self._hashes, self._others = tuple(hashes), tuple(others)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def check(self, headers: Headers) -> None:
        """Let a request in.

        Raises:
            Refusal: 401 without a known key, 403 with one that is for the other port.
        """
        if not self._hashes:
            return
        key = _key_of(headers)
        if key is None:
            raise _unauthorized("missing_key", "an API key is needed: send the header 'Authorization: Bearer KEY'.")
        try:
            found = hashed(key) if len(key) <= LONGEST_KEY and not key.startswith("sha256:") else ""
        except ValueError:
            found = ""
        if _is_among(found, self._hashes):
            return
        if _is_among(found, self._others):
            raise Refusal(403, "forbidden", "this API key is known, but not for this port.")
        raise _unauthorized("unknown_key", "this API key is not known.")


def _is_among(found: str, hashes: Sequence[str]) -> bool:
    """Every hash is compared, and each in full: time does not tell which one, or how much of it, fits."""
    matches = [hmac.compare_digest(found, one) for one in hashes]
    return any(matches)


def _key_of(headers: Headers) -> str | None:
    header = headers.get("Authorization")
    if header is not None:
        scheme, _, key = header.partition(" ")
        return key.strip() if scheme.lower() == "bearer" and key.strip() else None
    return headers.get("X-Api-Key") or None


def _unauthorized(code: str, detail: str) -> Refusal:
    return Refusal(401, code, detail, headers={"WWW-Authenticate": 'Bearer realm="bert-ms"'})
