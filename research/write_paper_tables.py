#!/usr/bin/env python
"""Count the models of the paper's tables and show their cost next to what the paper reports.

    python research/write_paper_tables.py                      # fills docs/paper_tables.md
    python research/write_paper_tables.py --tables v1-4 v4-7   # prints these tables only
    python research/write_paper_tables.py --no-write           # prints all tables

The tables are v1 Tables 1-4 and v4 Tables 1-8. Models are counted without running them.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `research` and `vt_seg`

from research.marked_section import fill_document, read_document
from research.paper_tables import TABLES, paper_tables, section_name
from research.report_table import print_tables
from vt_seg.command_line import errors_as_messages

ROOT = Path(__file__).resolve().parents[1]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tables",
        nargs="+",
        choices=TABLES,
        metavar="TABLE",
        help=f"any of {', '.join(TABLES)} (default: all)",
    )
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="document whose tables are filled (default: docs/paper_tables.md without --tables, "
        "else none)",
    )
    written.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args(arguments)
    if args.tables is None:
        args.tables = list(TABLES)
        if not args.no_write:
            args.output = args.output or ROOT / "docs" / "paper_tables.md"
    return args


def main(args: argparse.Namespace) -> None:
    """Print each table as soon as it is counted, then fill the document, if any."""
    if args.output is not None:
        read_document(args.output, map(section_name, args.tables))
    contents = {}
    for name, table in zip(args.tables, paper_tables(ROOT / "configs", args.tables), strict=True):
        print_tables([table])
        contents[section_name(name)] = table.markdown()
    if args.output is not None:
        fill_document(args.output, contents)
        print(f"Filled {args.output}.")


if __name__ == "__main__":
    with errors_as_messages():
        main(parse_args())
