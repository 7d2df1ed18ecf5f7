"""The command `bert-ms`: reads arguments, calls one library function, prints what it returns."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bert_ms.cli.parser import parse
from bert_ms.compat import is_out_of_memory
from bert_ms.errors import BertMsError, ConfigError

OUT_OF_MEMORY = (
    "memory ran out. Lower training.batch_size (training.accumulate makes up for it), evaluation.batch_size or "
    "data.max_length; --dry-run estimates what a run needs."
)
MAX_ERROR_LINES = 40
MAX_ERROR_COLUMNS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        0 when it succeeded; 1 when it failed; 2 when it was asked for something impossible; 130 after Ctrl+C or
        SIGTERM (runs and servers end in ways of their own).
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore reads it when it is imported: errors only
    arguments = parse(sys.argv[1:] if argv is None else argv)
    _log_to_terminal(arguments.verbose, arguments.quiet)
    try:
        return int(arguments.command(arguments) or 0)
    except BertMsError as error:
        if arguments.debug:
            raise
        _complain(str(error))
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:  # `bert-ms ... | head`: nobody reads on, and nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # disk full, no permission, no such directory: the system's words say it
        if arguments.debug:
            raise
        _complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        return 1
    except (MemoryError, RuntimeError) as error:
        if arguments.debug or not is_out_of_memory(error):
            raise
        _complain(OUT_OF_MEMORY)
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130


def _complain(text: str) -> None:
    lines = [line if len(line) <= MAX_ERROR_COLUMNS else f"{line[:MAX_ERROR_COLUMNS]}..." for line in text.splitlines()]
    if len(lines) > MAX_ERROR_LINES:
        lines = [*lines[:MAX_ERROR_LINES], f"... and {len(lines) - MAX_ERROR_LINES} more lines (--debug shows all)"]
    print("bert-ms: error: " + "\n".join(lines), file=sys.stderr)


def _log_to_terminal(verbose: bool, quiet: bool) -> None:
    import logging  # not before the arguments are known to be right

    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.getLogger("bert_ms").setLevel(level)
