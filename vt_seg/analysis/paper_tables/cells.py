"""Cells and rows that several tables have."""

from ..report_table import Row
from .models import ClassifierCost
from .notes import NOTES
from .numbers import ClassifierRow

TOP1 = "top-1 %: paper"
STAGE_5 = ("stage 5, MACs M: ours", "stage 5, params M: ours")
FROM_BASE = ("from base, MACs M: paper", "ours", "from base, params M: paper", "ours")
SCALES = {"G": 1e9, "M": 1e6}


def cost_columns(unit: str) -> tuple[str, ...]:
    """The columns that :func:`classifier_row` fills, with MACs in ``unit``, "G" or "M"."""
    costs = ("ours", "difference")
    return (TOP1, f"MACs {unit}: paper", *costs, "as printed", "params M: paper", *costs)


def classifier_row(
    table: str, labels: tuple[str, ...], printed: ClassifierRow, cost: ClassifierCost, unit: str
) -> Row:
    """A row of :func:`cost_columns` after its labels, with the note on it."""
    scale = SCALES[unit]
    digits = len(printed.macs.partition(".")[2])
    macs, params = cost.macs / scale, cost.params / 1e6
    cells = (
        *labels,
        printed.top1,
        printed.macs,
        f"{macs:.{digits}f}",
        percent(macs, printed.macs),
        f"{cost.printed_macs / scale:.{digits}f}",
        printed.params or "-",
        f"{params:.2f}",
        percent(params, printed.params) if printed.params else "-",
    )
    return Row(cells, note(table, labels))


def stage_5_cells(cost: ClassifierCost) -> tuple[str, str]:
    """Cells of ``STAGE_5``."""
    return f"{cost.stage5_macs / 1e6:.1f}", f"{cost.stage5_params / 1e6:.2f}"


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
