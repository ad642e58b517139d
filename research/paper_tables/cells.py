"""Cells and rows that several tables have."""

from collections.abc import Sequence

from ..report_table import Row
from .models import ClassifierCost
from .notes import NOTES
from .numbers import ClassifierRow

TOP1 = "top-1 %: paper"
STAGE_5 = ("stage 5, MACs M: formulas", "executed", "stage 5, params M: ours")
FROM_BASE = ("from base, MACs M: paper", "formulas", "from base, params M: paper", "ours")
SCALES = {"G": 1e9, "M": 1e6}


def macs_columns(table: str) -> tuple[str, ...]:
    """The columns of ours after the paper's MACs; v4's formulas have no ``W_V``."""
    strict = ("W_V on pixels",) if table.startswith("v1") else ()
    return ("formulas", "difference", *strict, "executed")


def cost_columns(table: str, unit: str) -> tuple[str, ...]:
    """The columns that :func:`classifier_row` fills, with MACs in ``unit``, "G" or "M"."""
    macs = (f"MACs {unit}: paper", *macs_columns(table))
    return (TOP1, *macs, "params M: paper", "ours", "difference")


def classifier_row(
    table: str, labels: tuple[str, ...], printed: ClassifierRow, cost: ClassifierCost, unit: str
) -> Row:
    """A row of :func:`cost_columns` after its labels, with the note on it."""
    digits = len(printed.macs.partition(".")[2])
    counts = (cost.macs, cost.strict_macs, cost.executed_macs)
    params = cost.params / 1e6
    cells = (
        *labels,
        printed.top1,
        printed.macs,
        *macs_cells(table, printed.macs, [count / SCALES[unit] for count in counts], digits),
        printed.params or "-",
        f"{params:.2f}",
        percent(params, printed.params) if printed.params else "-",
    )
    return Row(cells, note(table, labels))


def macs_cells(table: str, printed: str, macs: Sequence[float], digits: int) -> tuple[str, ...]:
    """Cells of :func:`macs_columns`: MACs by the formulas, strictly as written, and executed."""
    formulas, *others = (f"{count:.{digits}f}" for count in macs)
    if not table.startswith("v1"):
        del others[0]
    return (formulas, percent(macs[0], printed), *others)


def stage_5_cells(cost: ClassifierCost) -> tuple[str, str, str]:
    """Cells of ``STAGE_5``."""
    macs = (f"{count / 1e6:.1f}" for count in (cost.stage5_macs, cost.executed_stage5_macs))
    return (*macs, f"{cost.stage5_params / 1e6:.2f}")


def from_base_cells(
    printed_base: ClassifierRow,
    printed: ClassifierRow,
    base: ClassifierCost,
    cost: ClassifierCost,
    unit: str,
) -> tuple[str, str, str, str]:
    """Cells of ``FROM_BASE``: what an ablation changes, in the paper and here."""
    macs = (float(printed.macs) - float(printed_base.macs)) * SCALES[unit] / 1e6
    params = "-"
    if printed.params:
        params = _signed(float(printed.params) - float(printed_base.params), 2)
    return (
        _signed(macs, 0),
        _signed((cost.macs - base.macs) / 1e6, 1),
        params,
        _signed((cost.params - base.params) / 1e6, 2),
    )


def percent(ours: float, printed: str) -> str:
    """By how much ours is above the printed number."""
    return f"{_signed((ours / float(printed) - 1) * 100, 1)} %"


def _signed(number: float, digits: int) -> str:
    """With its sign, unless nothing but zeros is left of it."""
    text = f"{number:+.{digits}f}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def note(table: str, labels: tuple[str, ...]) -> str:
    """What there is to say on a row of a table; "" for nothing."""
    return NOTES.get((table, *labels), "")
