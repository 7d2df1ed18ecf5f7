"""A real server over models in memory, as a process: `python -m tests.serving.wire_process key=value ...`."""

from __future__ import annotations

import sys

from serving.http.run import serve
from serving.resolving import resolve
from tests.serving.fakes import two_models

if __name__ == "__main__":
    flags = dict(argument.split("=", 1) for argument in sys.argv[1:])
    settings = resolve(flags={"port": "0", "admin_port": "0", **flags}, environment={})
    sys.exit(serve(settings, two_models()))
