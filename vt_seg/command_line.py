"""Errors and arguments of the tools' command lines."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn OSError and ValueError (not those of a training) into SystemExit with their message."""
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def config_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with ``--config-file`` and ``--opts`` whose help shows the description."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides of the config"
    )
    return parser


def positive_int(text: str) -> int:
    """Return an argument's whole number for argparse, or raise ArgumentTypeError if below 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
