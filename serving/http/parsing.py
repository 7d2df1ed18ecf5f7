"""A request's head and body as they arrive: what two servers could read differently is refused."""

from __future__ import annotations

import logging
import re
import time

from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import Error

logger = logging.getLogger("bert_ms.transport")

# Headers that may stand once; white space around their names, which is refused later on, hides none of them.
_ONCE = [
    re.compile(rb"\r\n\s*%s\s*(?=:|\r\n|$)" % name) for name in (b"transfer-encoding", b"content-length", b"host")
]


class Timeout(Error):  # type: ignore[misc]
    """A request that did not arrive in time."""

    code, reason = 408, "Request Timeout"


class NoRoom(Error):  # type: ignore[misc]
    """A body that the disk has no room for."""

    code, reason = 503, "Service Unavailable"


class Parser(HTTPRequestParser):  # type: ignore[misc]
    """Reads a request's head and body.

    Refuses what two servers in a row could read differently (request smuggling, RFC 9112 sections 5.1, 5.2, 6.1 to
    6.3): a length beside a transfer encoding, an encoding in HTTP/1.0 or given twice, continued lines, several hosts.
    A body that is too large is refused before the client is told to go on with it.
    """

    def __init__(self, adj: Adjustments):
        super().__init__(adj)
        self.begun = time.monotonic()

    def received(self, data: bytes) -> int:
        try:
            consumed: int = super().received(data)
        except OSError as error:  # of the file that a long body goes through
            logger.error("a body could not be kept: %s", error)
            self.error, self.completed, consumed = NoRoom("there is no room for the body"), True, len(data)
        if self.error is not None:
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        head = header_plus.split(b"\r\n\r\n", 1)[0]
        if b"\r\n " in head or b"\r\n\t" in head:
            raise ParsingError("a line of the head is continued")
        lowered = head.lower()
        encodings, lengths, hosts = (len(name.findall(lowered)) for name in _ONCE)
        if encodings > 1 or lengths > 1 or (encodings and lengths):
            raise ParsingError("the length of the body is given twice")
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # an address such as http://[::1, on which waitress 3.0 gives the connection up
            raise ParsingError("the address is none") from error
        if encodings and self.version != "1.1":
            raise ParsingError("a transfer encoding belongs to HTTP/1.1")
        if hosts > 1 or (self.version == "1.1" and not hosts):
            raise ParsingError("expected one Host")
