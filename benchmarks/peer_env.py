"""The environment of the peer, PyTorch with Transformers, apart from ours.

    python benchmarks/peer_env.py        # makes it if need be and prints its interpreter

BERT_MS_PEER_PYTHON names an interpreter that has both already. Otherwise benchmarks/.venv-peer is made with pinned
versions from the package index that pip is configured for (on Linux the default index's PyTorch carries GPU libraries;
`PIP_INDEX_URL` of a CPU-only index saves some gigabytes).
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = ("torch==2.13.*", "transformers>=5.23,<5.25", "numpy<3", "scipy", "scikit-learn", "seqeval==1.2.2", "flask")
FOLDER = Path(__file__).resolve().parent / ".venv-peer"


def peer_python() -> Path:
    """The interpreter of the peer's environment, made now if it is not there.

    Raises:
        SystemExit: it cannot be made, or lacks a package; the text says what to do.
    """
    given = os.environ.get("BERT_MS_PEER_PYTHON")
    python = Path(given) if given else FOLDER / "bin" / "python"
    if not given and not python.is_file():
        print(f"making the peer's environment in {FOLDER} ({', '.join(PACKAGES)})", file=sys.stderr)
        venv.create(FOLDER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=False)
    if not python.is_file() or subprocess.run([python, "-c", "import torch, transformers"], check=False).returncode:
        raise SystemExit(f"{python} cannot import torch and transformers. Delete {FOLDER} and run again, or set "
                         "BERT_MS_PEER_PYTHON to an interpreter that has them.")  # fmt: skip
    return python


if __name__ == "__main__":
    print(peer_python())
