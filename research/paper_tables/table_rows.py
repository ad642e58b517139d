"""Columns and rows that several of the paper's tables share."""

from collections.abc import Sequence

from ..report_table import Row
from .models import ClassifierCost
from .reported import NOTES, ClassifierRow

TOP1 = "top-1 %: paper"
STAGE_5 = ("stage 5, MACs M: formulas", "executed", "stage 5, params M: ours")
FROM_BASE = ("from base, MACs M: paper", "formulas", "from base, params M: paper", "ours")
SCALES = {"G": 1e9, "M": 1e6}


def macs_columns(table: str) -> tuple[str, ...]:
    """Return the columns of our MACs, which follow the paper's; v4's formulas lack ``W_V``."""
    on_pixels = ("W_V on pixels",) if table.startswith("v1") else ()
    return ("formulas", "difference", *on_pixels, "executed")


def cost_columns(table: str, unit: str) -> tuple[str, ...]:
    """Return the columns that :func:`classifier_row` fills, with MACs in ``unit``, "G" or "M"."""
    macs = (f"MACs {unit}: paper", *macs_columns(table))
    return (TOP1, *macs, "params M: paper", "ours", "difference")


def classifier_row(
    table: str, labels: tuple[str, ...], reported: ClassifierRow, cost: ClassifierCost, unit: str
) -> Row:
    """Return labels and the cells of :func:`cost_columns`, with the note on this row."""
    digits = len(reported.macs.partition(".")[2])
    counts = (cost.macs, cost.macs_on_pixels, cost.executed_macs)
    params = cost.params / 1e6
    cells = (
        *labels,
        reported.top1,
        reported.macs,
        *macs_cells(table, reported.macs, [count / SCALES[unit] for count in counts], digits),
        reported.params or "-",
        f"{params:.2f}",
        percent(params, reported.params) if reported.params else "-",
    )
    return Row(cells, note(table, labels))


def macs_cells(table: str, reported: str, macs: Sequence[float], digits: int) -> tuple[str, ...]:
    """Return the cells of :func:`macs_columns`.

    Args:
        table: Name of the table.
        reported: The paper's MACs.
        macs: Ours by the formulas, by the formulas with ``W_V`` on pixels, and executed.
        digits: Digits after the point.
    """
    formulas, *others = (f"{count:.{digits}f}" for count in macs)
    if not table.startswith("v1"):
        del others[0]
    return (formulas, percent(macs[0], reported), *others)


def stage_5_cells(cost: ClassifierCost) -> tuple[str, str, str]:
    """Return the cells of ``STAGE_5``."""
    macs = (f"{count / 1e6:.1f}" for count in (cost.stage5_macs, cost.executed_stage5_macs))
    return (*macs, f"{cost.stage5_params / 1e6:.2f}")


def from_base_cells(
    reported_base: ClassifierRow,
    reported: ClassifierRow,
    base: ClassifierCost,
    cost: ClassifierCost,
    unit: str,
) -> tuple[str, str, str, str]:
    """Return the cells of ``FROM_BASE``: what an ablation changes, in the paper and here."""
    macs = (float(reported.macs) - float(reported_base.macs)) * SCALES[unit] / 1e6
    params = "-"
    if reported.params:
        params = _signed(float(reported.params) - float(reported_base.params), 2)
    return (
        _signed(macs, 0),
        _signed((cost.macs - base.macs) / 1e6, 1),
        params,
        _signed((cost.params - base.params) / 1e6, 2),
    )


def percent(ours: float, reported: str) -> str:
    """Return by how many percent our number exceeds the reported one."""
    return f"{_signed((ours / float(reported) - 1) * 100, 1)} %"


def _signed(number: float, digits: int) -> str:
    """Return a number with its sign, unless it is rounded to zero."""
    text = f"{number:+.{digits}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def note(table: str, labels: tuple[str, ...]) -> str:
    """Return the note on a row of a table; "" for none."""
    return NOTES.get((table, *labels), "")
