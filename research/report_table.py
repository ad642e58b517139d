"""Tables with numbered notes, as Markdown and for a terminal."""

from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tabulate import tabulate


@dataclass(frozen=True)
class Row:
    """Cells of a table, and what there is to say about them ("" for nothing)."""

    cells: tuple[str, ...]
    note: str = ""

    def extended(self, *cells: str) -> "Row":
        """The row with more cells at the right."""
        return replace(self, cells=(*self.cells, *cells))


@dataclass(frozen=True)
class ReportTable:
    """A table with a title, a text and numbered notes.

    Attributes:
        title: one line.
        columns: their names.
        rows: of as many cells. Rows with the same note share its number.
        text: a paragraph before the table.
        num_labels: columns at the left that are text; the others are numbers, aligned right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    text: str = ""
    num_labels: int = 1

    def notes(self) -> list[str]:
        """Each note once, in the order of the rows."""
        return list(dict.fromkeys(row.note for row in self.rows if row.note))

    def markdown(self) -> str:
        """A section of a document."""
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
        return "\n\n".join(part for part in (f"## {self.title}", self.text, table, notes) if part)

    def print(self, console: Console) -> None:
        """The same on a terminal; column heads wrap to fit it."""
        columns, cells = self._with_note_numbers()
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            caption=self.text,
            caption_justify="left",
        )
        for i, column in enumerate(columns):
            table.add_column(column, justify="left" if i < self.num_labels else "right")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        for number, note in enumerate(self.notes(), start=1):
            console.print(Text(f"{number}. {note}"))
        console.print()

    def _with_note_numbers(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows, with a last column of note numbers where there are notes."""
        numbers = {note: str(i) for i, note in enumerate(self.notes(), start=1)}
        columns, cells = list(self.columns), [list(row.cells) for row in self.rows]
        if numbers:
            columns.append("note")
            for row, line in zip(self.rows, cells, strict=True):
                line.append(numbers.get(row.note, ""))
        return columns, cells
