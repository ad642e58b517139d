"""The costs that the paper's tables report, next to those of our models; no model is trained."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..report_table import ReportTable
from .classification import (
    v1_table_1,
    v1_table_2,
    v1_table_3,
    v4_ablations,
    v4_table_1,
    v4_table_2,
    v4_table_8,
)
from .models import PaperModels
from .reported import ablation_rows
from .segmentation import v1_table_4

__all__ = ["TABLES", "PaperModels", "ablation_rows", "paper_tables", "section_name"]

TABLES: Mapping[str, Callable[[PaperModels], ReportTable]] = {
    "v1-1": v1_table_1,
    "v1-2": v1_table_2,
    "v1-3": v1_table_3,
    "v1-4": v1_table_4,
    "v4-1": v4_table_1,
    "v4-2": v4_table_2,
    **{f"v4-{number}": partial(v4_ablations, number=number) for number in range(3, 8)},
    "v4-8": v4_table_8,
}
"""Tables by revision and number; by the notes v4 Tables 9 and 10 repeat v1 Table 4."""


def paper_tables(
    configs: str | Path, names: Sequence[str] = tuple(TABLES)
) -> Iterator[ReportTable]:
    """Yield tables of the paper.

    Args:
        configs: The project's folder ``configs/``.
        names: Keys of ``TABLES``; all by default.

    Raises:
        FileNotFoundError: if ``configs`` is not that folder.
    """
    models = PaperModels(configs)
    for name in names:
        yield TABLES[name](models)


def section_name(table: str) -> str:
    """Return the name of a table's section in docs/paper_tables.md."""
    return f"research/write_paper_tables.py {table}"
