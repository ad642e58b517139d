"""Errors and arguments of the tools' command lines."""

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .model_zoo import config_file, config_names
from .near_names import near_names

Arguments = Sequence[str] | None
"""The words of a command line; None for those of this process."""

_OVERRIDE = re.compile(
    r"(OUTPUT_DIR|SEED|VERSION|(MODEL|INPUT|VT_SEG|DATASETS|DATALOADER|SOLVER|TEST)(\.\w+)+)(=.*)?",
    re.DOTALL,
)


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn errors of input (not those of a training) into SystemExit with their message.

    These are OSError, ValueError, and the ImportError of an optional package. Ctrl-C ends with the
    shell's code for it, 130.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be in another encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except KeyboardInterrupt:
        print("ended by Ctrl-C: files that have their names are whole", file=sys.stderr)
        sys.exit(130)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM end the process as an error does, with code 143: unfinished files are removed."""
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def command(
    parse_args: Callable[[Arguments, str | None], argparse.Namespace],
    run: Callable[[argparse.Namespace], int | None],
) -> Callable[..., int | None]:
    """Return the ``main(arguments, prog)`` of a sub-command, which runs what it parses."""

    def main(arguments: Arguments = None, prog: str | None = None) -> int | None:
        with errors_as_messages(), sigterm_as_exit():
            return run(parse_args(arguments, prog))

    return main


def plain_parser(description: str | None, prog: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows the description as it is."""
    kind = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog, description=description, formatter_class=kind)


def config_parser(
    description: str | None, prog: str | None = None, *, required: bool = True
) -> argparse.ArgumentParser:
    """Return a parser with ``--config-file``, ``--import`` and ``--opts``."""
    parser = plain_parser(description, prog)
    parser.add_argument(
        "--config-file",
        required=required,
        type=_given_config,
        metavar="FILE",
        help="a file, or a name that `vt-seg configs` lists",
    )
    add_import_argument(parser)
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE overrides of the config"
    )
    return parser


def _given_config(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a config")
    return config_path(text)


def config_path(text: str) -> str:
    """Return the path of a config that is given by its name, unless a file has that name."""
    is_name = not os.path.exists(text) and text.removesuffix(".yaml") in config_names()
    return config_file(text) if is_name else text


def model_parser(description: str | None, prog: str | None = None) -> argparse.ArgumentParser:
    """Return a `config_parser` with ``--model`` too; :func:`parse_model_arguments` parses."""
    parser = config_parser(description, prog, required=False)
    parser.add_argument(
        "--model", metavar="DIR", help="in place of a config: a run's folder, or a hub folder or id"
    )
    return parser


def parse_model_arguments(
    parser: argparse.ArgumentParser, arguments: Arguments = None
) -> argparse.Namespace:
    """Parse; end with code 2 unless either ``--config-file`` or ``--model`` is given."""
    args = parse_arguments(parser, arguments)
    if bool(args.config_file) == bool(args.model):
        parser.error("the argument --config-file or the argument --model is required, and not both")
    return args


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--import``, which gives ``imports``, the modules that `load_cfg` imports."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import your module, a name or a .py file, before the config is read (repeatable)",
    )


def parse_arguments(
    parser: argparse.ArgumentParser, arguments: Arguments = None
) -> argparse.Namespace:
    """Parse a command line; end with code 2 and the fix if a flag or an override is misplaced.

    A parser takes overrides of the config behind ``--opts``, or without it, as Detectron2's does.
    """
    args, unknown = parser.parse_known_args(arguments)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    taken = [value for name, value in vars(args).items() if name != "opts"]
    words = [word for value in taken if isinstance(value, list) for word in value]
    for word in (*unknown, *words):
        if _OVERRIDE.fullmatch(str(word)) and not os.path.exists(word):
            parser.error(f"{word}: write overrides of the config at the end, behind --opts")
    for word in unknown:
        if word == "--opts":
            parser.error("--opts: leave it out, overrides KEY VALUE follow the flags")
        flag = word.split("=")[0]
        parser.error(f"unrecognized argument {word}{near_names(flag.replace('_', '-'), flags, 1)}")
    return args


def positive_int(text: str) -> int:
    """Return an argument's whole number for argparse, or raise ArgumentTypeError if below 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
