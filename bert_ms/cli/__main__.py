"""`python -m bert_ms.cli` is `bert-ms`; workers are started in this way."""

import sys

from bert_ms.cli import main

if __name__ == "__main__":
    sys.exit(main())
