#!/usr/bin/env python
"""Count the models of the paper's tables and show their cost next to what the paper reports.

    python research/write_paper_tables.py                  # all, into docs/paper_tables.md
    python research/write_paper_tables.py --tables v1-4 v4-7    # prints these alone
    python research/write_paper_tables.py --no-write       # prints all

The tables are v1 Tables 1-4 and v4 Tables 1-8. No model is run. Of the document only the parts
between marks are written, one for each table; the rest of it is written by hand.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where `research` is

import vt_seg  # noqa: F401  (registers models and datasets)
from research.marked_section import fill_document, read_document
from research.paper_tables import TABLES, paper_tables, section_name
from vt_seg.command_line import errors_as_messages

ROOT = Path(__file__).resolve().parents[1]
TITLE = "The paper's tables"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        choices=TABLES,
        metavar="TABLE",
        help=f"of {', '.join(TABLES)}; default: all",
    )
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write into; default: docs/paper_tables.md without --tables, else none",
    )
    written.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args(arguments)
    if args.tables is None:
        args.tables = list(TABLES)
        if not args.no_write:
            args.output = args.output or ROOT / "docs" / "paper_tables.md"
    return args


def main(args: argparse.Namespace) -> None:
    """Print each table as soon as it is counted, then write all into the document, if any."""
    if args.output is not None:
        read_document(args.output, TITLE, map(section_name, args.tables))
    # Into a file or a pipe, lines need not wrap.
    console = Console(width=None if sys.stdout.isatty() else 200)
    contents = {}
    for name, table in zip(args.tables, paper_tables(ROOT / "configs", args.tables), strict=True):
        table.print(console)
        contents[section_name(name)] = table.markdown()
    if args.output is not None:
        fill_document(args.output, TITLE, contents)
        print(f"Written: {args.output}")


if __name__ == "__main__":
    with errors_as_messages():
        main(parse())
