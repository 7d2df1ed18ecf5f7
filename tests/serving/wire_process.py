"""A real server over models in memory, as a process: `python -m tests.serving.wire_process key=value ...`.

Keys are settings; with `release_after=SECONDS` texts that wait are answered so long after the end was asked for, with
`close_seconds=SECONDS` the models take so long to end.
"""

from __future__ import annotations

import sys
import threading
import time

from serving.http.run import serve
from serving.resolving import resolve
from tests.serving.fakes import FakeRepository, two_models


class Releasing(FakeRepository):
    """Lets what waits go on a while after it was asked to drain."""

    seconds: float | None = None
    close_seconds = 0.0

    def drain(self, timeout: float) -> bool:
        if self.seconds is not None:
            threading.Timer(self.seconds, self.models["vectors"].release.set).start()
        return super().drain(timeout)

    def close(self) -> None:
        time.sleep(self.close_seconds)
        super().close()


if __name__ == "__main__":
    flags = dict(argument.split("=", 1) for argument in sys.argv[1:])
    repository = Releasing(*two_models().models.values())
    if "release_after" in flags:
        repository.seconds = float(flags.pop("release_after"))
    repository.close_seconds = float(flags.pop("close_seconds", 0.0))
    settings = resolve(flags={"port": "0", "admin_port": "0", **flags}, environment={})
    sys.exit(serve(settings, repository))
