"""`python -m serving` is `bert-ms serve`."""

import sys

from bert_ms.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
