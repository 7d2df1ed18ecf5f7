"""`python -m serving` is `bert-ms serve`."""

import sys


def main() -> int:
    """Run the command; it stands above this package, which is why it is imported here."""
    from bert_ms.cli import main as command

    return command(["serve", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
