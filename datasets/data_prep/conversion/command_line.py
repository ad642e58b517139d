"""Arguments, messages and exit codes of the converters in datasets/."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from vt_seg.data.datasets import dataset_root

from .conversion import Conversion
from .runner import MAX_ERRORS, Outcome, check, convert, processes_for

SPLITS = ("train", "val")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --root, --workers and --check."""
    parser.add_argument("--root", default=dataset_root(), help="folder of datasets")
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --check."""
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes at a time"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; derive every mask again and compare it with the existing one",
    )


def run_conversions(make: Callable[[], Sequence[Conversion]], args: argparse.Namespace) -> int:
    """Run or check conversions and print a line for each.

    Args:
        make: Function that returns the conversions.
        args: Arguments of :func:`add_run_arguments`.

    Returns:
        The exit code: 0, 1 if a file has an error or cannot be written, 130 after Ctrl-C.
    """
    failed = False
    try:
        for conversion in make():
            outcome = (check if args.check else convert)(conversion, args.workers)
            print(_summary(conversion, outcome, args), flush=True)
            for error in outcome.errors[: MAX_ERRORS + 1]:
                print(f"error: {error}", file=sys.stderr)
            if len(outcome.errors) > MAX_ERRORS + 1:
                print(f"and {len(outcome.errors) - MAX_ERRORS - 1} more", file=sys.stderr)
            failed = failed or bool(outcome.errors)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the command again to continue", file=sys.stderr)
        return 130
    return int(failed)


def _summary(conversion: Conversion, outcome: Outcome, args: argparse.Namespace) -> str:
    what = f"{outcome.done} correct" if args.check else f"{outcome.done} written"
    kept = "" if args.check else f", {outcome.kept} kept"
    errors = f", {len(outcome.errors)} with errors" if outcome.errors else ""
    used = processes_for(outcome.done + len(outcome.errors), args.workers)
    processes = "1 process" if used == 1 else f"{used} processes"
    if outcome.startup >= 0.1:
        processes += f", started in {outcome.startup:.1f} s"
    return (
        f"{conversion.output}: {what}{kept}{errors} in {outcome.seconds:.1f} s "
        f"({outcome.rate:.0f} images/s, {processes})"
    )
