"""Tables with numbered notes, as Markdown for documents and by rich for terminals."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tabulate import tabulate


@dataclass(frozen=True)
class Row:
    """Cells of a table, and a note on them ("" for none)."""

    cells: tuple[str, ...]
    note: str = ""

    def extended(self, *cells: str) -> "Row":
        """Return the row with more cells at the right."""
        return replace(self, cells=(*self.cells, *cells))


@dataclass(frozen=True)
class ReportTable:
    """A table with a title and numbered notes.

    Attributes:
        title: One line.
        columns: Names of the columns.
        rows: Rows of as many cells. Rows with the same note share its number.
        num_labels: Number of columns at the left that hold text; the others hold numbers, aligned
            right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    num_labels: int = 1

    def notes(self) -> list[str]:
        """Return each note once, in the order of the rows."""
        return list(dict.fromkeys(row.note for row in self.rows if row.note))

    def markdown(self) -> str:
        """Return the table and its notes in Markdown, without the title."""
        columns, cells = self._with_note_numbers()
        labels = self.num_labels
        table = tabulate(
            cells,
            headers=columns,
            tablefmt="pipe",
            disable_numparse=True,
            colalign=["left"] * labels + ["right"] * (len(columns) - labels),
        )
        notes = "\n".join(f"{i}. {note}" for i, note in enumerate(self.notes(), start=1))
        return "\n\n".join(part for part in (table, notes) if part)

    def print(self, console: Console) -> None:
        """Print the table with its title and notes; column heads wrap to fit the terminal."""
        columns, cells = self._with_note_numbers()
        table = Table(title=self.title, title_justify="left", title_style="bold")
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i < self.num_labels else "right")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        for number, note in enumerate(self.notes(), start=1):
            console.print(Text(f"{number}. {note}"))
        console.print()

    def _with_note_numbers(self) -> tuple[list[str], list[list[str]]]:
        """Return columns and rows, with a last column of note numbers where there are notes."""
        numbers = {note: str(i) for i, note in enumerate(self.notes(), start=1)}
        columns, cells = list(self.columns), [list(row.cells) for row in self.rows]
        if numbers:
            columns.append("note")
            for row, line in zip(self.rows, cells, strict=True):
                line.append(numbers.get(row.note, ""))
        return columns, cells


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return median and range: ``"3.05 (2.98 to 3.11)"``."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def titled_tables(tables: Sequence[ReportTable]) -> str:
    """Return tables in Markdown, each below its title as a heading of the third level."""
    return "\n\n".join(f"### {table.title}\n\n{table.markdown()}" for table in tables)


def print_tables(tables: Sequence[ReportTable]) -> None:
    """Print tables on the terminal; in a file or a pipe, lines are not wrapped."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    for table in tables:
        table.print(console)
