"""What the scripts datasets/prepare_*.py share: arguments, messages, exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from vt_seg.data.datasets import dataset_root
from .conversion import Conversion
from .runner import MOST_FAULTS, Outcome, check, convert, processes_for

SPLITS = ("train", "val")


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """--root, --workers, --check."""
    parser.add_argument("--root", default=dataset_root(), help="the folder of datasets")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes that work at a time"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing: derive every mask again, compare it with the one that is there",
    )


def run_conversions(make: Callable[[], Sequence[Conversion]], args: argparse.Namespace) -> int:
    """Carries conversions out, or checks them, and prints a line each.

    Returns:
        0, or 1 where a file is at fault or cannot be written, 130 after Ctrl-C.
    """
    failed = False
    try:
        for conversion in make():
            outcome = (check if args.check else convert)(conversion, args.workers)
            print(_summary(conversion, outcome, args), flush=True)
            for fault in outcome.faults[: MOST_FAULTS + 1]:
                print(f"error: {fault}", file=sys.stderr)
            if len(outcome.faults) > MOST_FAULTS + 1:
                print(f"and {len(outcome.faults) - MOST_FAULTS - 1} more", file=sys.stderr)
            failed = failed or bool(outcome.faults)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to go on where it was", file=sys.stderr)
        return 130
    return int(failed)


def _summary(conversion: Conversion, outcome: Outcome, args: argparse.Namespace) -> str:
    what = f"{outcome.done} as they should be" if args.check else f"{outcome.done} written"
    kept = "" if args.check else f", {outcome.kept} kept"
    faults = f", {len(outcome.faults)} at fault" if outcome.faults else ""
    used = processes_for(outcome.done + len(outcome.faults), args.workers)
    processes = "1 process" if used == 1 else f"{used} processes"
    if outcome.startup >= 0.1:
        processes += f", started in {outcome.startup:.1f} s"
    return (
        f"{conversion.output}: {what}{kept}{faults} in {outcome.seconds:.1f} s "
        f"({outcome.rate:.0f} images/s, {processes})"
    )
