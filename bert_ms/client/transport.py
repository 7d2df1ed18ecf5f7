"""Requests to a server: connections that are kept, errors with a type, and another try where one may help."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from bert_ms.errors import BertMsError, ConfigError, DataError

MAX_RESPONSE_BYTES = 512 << 20
KEPT_CONNECTIONS = 8
RETRIED = (429, 503)  # the server did not work on these requests
FIRST_WAIT = 0.2  # seconds; doubled at each try, where the server names none


class ServerError(BertMsError, RuntimeError):
    """An answer that is no answer, or none at all.

    Args:
        detail: what the server said, or what went wrong on the way to it.
        status: of HTTP; 0 where nothing was answered.
        code: the server's stable name for it; "unreachable" or "timeout" where nothing was answered.
        pointer: JSON pointer to what is wrong in the request; None where it is no single place.
        request_id: by which the server's log names the request.
    """

    def __init__(
        self, detail: str, *, status: int, code: str, pointer: str | None = None, request_id: str | None = None
    ):
        self.detail, self.status, self.code = detail, status, code
        self.pointer, self.request_id = pointer, request_id
        super().__init__(detail)

    def __str__(self) -> str:
        place = f" at {self.pointer}" if self.pointer else ""
        number = f" {self.status}" if self.status else ""
        name = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}{number}{place}: {self.detail}{name}"


class Transport:
    """JSON to a server and back; several threads may use one.

    Args:
        url: of the server: http:// or https://, a host, maybe a port and a prefix.
        api_key: sent with each request as `Authorization: Bearer ...`.
        timeout: seconds for the connection, and for each time that the server is silent.
        retries: further tries after a 429, a 503, or a connection that was not made.
        max_wait: seconds to wait between tries, all together; a longer wait is not begun.
        sleep: waits so many seconds.

    Raises:
        ConfigError: the URL or the key cannot be one.
    """

    def __init__(
        self,
        *,
        url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
        max_wait: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ):
        parts = _parts_of(url)
        if parts is None or not parts.hostname:
            raise ConfigError(f"url is {url!r}: expected one like http://127.0.0.1:8080, without a query or a user.")
        if api_key is not None and (not api_key.isascii() or not api_key.isprintable() or not api_key):
            raise ConfigError("api_key holds characters that no key has: expected printable ASCII.")
        self.host, self.port, self.prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self.address = f"{parts.scheme}://{parts.netloc}{self.prefix}"
        self.timeout, self.retries, self.max_wait, self.sleep = timeout, retries, max_wait, sleep
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Accept": "application/json", "User-Agent": "bert_ms.Client"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def call(self, method: str, path: str, body: Any = None, *, retries: int | None = None) -> Any:
        """The JSON that a request is answered with.

        Args:
            method: GET or POST.
            path: below the server's URL.
            body: sent as JSON; None sends none.
            retries: in place of the transport's own.

        Raises:
            DataError: the request cannot be written as JSON.
            ServerError: the server refused, failed, was not reached or was silent for too long.
        """
        payload = None if body is None else _written(body)
        tries = 1 + (self.retries if retries is None else retries)
        waited = 0.0
        for number in range(tries):
            wait: float | None = None
            try:
                status, headers, data = self._exchange(method, path, payload)
            except ConnectionRefusedError as error:
                failure = self._unreachable(error)
            else:
                if 200 <= status < 300:
                    return _parsed(data, headers)
                failure = _refusal(status, headers, data)
                if status not in RETRIED:
                    raise failure
                wait = _retry_after(headers.get("Retry-After"))
            wait = FIRST_WAIT * 2**number if wait is None else wait
            wait += random.uniform(0, 0.25 * wait + 0.05)  # so that those refused together do not come back together
            if number + 1 == tries or waited + wait > self.max_wait:
                raise failure
            self.sleep(wait)
            waited += wait
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        for connection in getattr(self, "_idle", ()):  # nobody else holds them then: no lock
            connection.close()

    def _exchange(self, method: str, path: str, payload: bytes | None) -> tuple[int, http.client.HTTPMessage, bytes]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                return self._on(connection, method, path, payload)
            except (ConnectionError, http.client.BadStatusLine):
                pass  # a connection that was kept may have been closed meanwhile: a new one tells
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error
        try:
            return self._on(self._connection(), method, path, payload)
        except ConnectionRefusedError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self._context)

    def _on(
        self, connection: http.client.HTTPConnection, method: str, path: str, payload: bytes | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = self._headers if payload is None else {**self._headers, "Content-Type": "application/json"}
        try:
            connection.request(method, self.prefix + path, payload, headers)
            response = connection.getresponse()
            data = response.read(MAX_RESPONSE_BYTES + 1)
        except BaseException:
            connection.close()
            raise
        if len(data) > MAX_RESPONSE_BYTES:
            connection.close()
            raise ServerError(f"the answer has more than {MAX_RESPONSE_BYTES} bytes.", status=0, code="too_large")
        with self._lock:
            kept = not response.will_close and len(self._idle) < KEPT_CONNECTIONS
            if kept:
                self._idle.append(connection)
        if not kept:
            connection.close()
        return response.status, response.headers, data

    def _unreachable(self, error: Exception) -> ServerError:
        if isinstance(error, TimeoutError):
            detail = (
                f"{self.address} was silent for {self.timeout:g} s: give a longer timeout, or ask for less at once."
            )
            return ServerError(detail, status=0, code="timeout")
        detail = f"{self.address} cannot be reached ({error or type(error).__name__}): is the server running there?"
        return ServerError(detail, status=0, code="unreachable")


def _parts_of(url: Any) -> SplitResult | None:
    """The parts of a server's URL, whose scheme may be left out; None if it is none."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        is_one = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # a port that is no number, or too large; half a bracket
        return None
    return parts if is_one and not parts.query and not parts.username else None


def _written(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"a text holds half of a surrogate pair ({error.object[error.start]!r}): mend it.") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"the request cannot be written as JSON: {error}.") from None


def _parsed(data: bytes, headers: http.client.HTTPMessage) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        detail = f"the answer is no JSON but {headers.get('Content-Type')}: {data[:80]!r}. Is the URL the server's?"
        raise ServerError(detail, status=0, code="no_json") from None


def _refusal(status: int, headers: http.client.HTTPMessage, data: bytes) -> ServerError:
    """The error that an answer of another status than 2xx tells of, in whichever of the server's forms."""
    try:
        body = json.loads(data)
    except ValueError:
        body = {}
    problem = body if isinstance(body, dict) else {}
    inner = problem.get("error")
    if isinstance(inner, dict):
        problem = inner
    places = problem.get("errors")
    first = places[0] if isinstance(places, list) and places and isinstance(places[0], dict) else {}
    detail = problem.get("detail") or problem.get("message") or inner or problem.get("title")
    return ServerError(
        str(detail or f"the server answered {status} without saying why."),
        status=status,
        code=str(problem.get("code") or "http_error"),
        pointer=problem.get("pointer") or first.get("pointer"),
        request_id=headers.get("X-Request-Id"),
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which has seconds or a date."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
