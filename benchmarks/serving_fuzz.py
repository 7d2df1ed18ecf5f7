"""Ask a server what its description allows, and what it does not, by schemathesis: nothing may be a 5xx or undescribed.

    pip install schemathesis                       # in an environment of its own: it is no dependency
    python -m tests.serving.wire_process port=8080 admin_port=8081     # the wire over models in memory; or any server
    python benchmarks/serving_fuzz.py http://127.0.0.1:8080 --examples 100
    python benchmarks/serving_fuzz.py http://127.0.0.1:8081

A key is read from LOAD_API_KEY. Every check of schemathesis is made but `positive_data_acceptance`: a schema cannot
say which texts are too long, or have no [MASK]. Point it only at servers of your own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys


def main() -> int:
    """Run it; its own exit code, which is 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the port")
    parser.add_argument("--examples", type=int, default=100, help="of each operation; default 100")
    parser.add_argument("--program", default="schemathesis", help="where schemathesis is, if not on PATH")
    arguments = parser.parse_args()
    program = shutil.which(arguments.program)
    if program is None:
        print(f"{arguments.program} is not there: pip install schemathesis, or name it by --program.", file=sys.stderr)
        return 2
    key = os.environ.get("LOAD_API_KEY")
    command = [
        program, "run", f"{arguments.url.rstrip('/')}/openapi.json", "--phases", "examples,coverage,fuzzing",
        "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure",
        "--max-examples", str(arguments.examples), *(["-H", f"Authorization: Bearer {key}"] if key else []),
    ]  # fmt: skip
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
