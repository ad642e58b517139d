"""The paper's tables of costs compared with ours, from configs alone: no model is run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from ..report_table import ReportTable, document
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
from .segmentation import v1_table_4

__all__ = ["TABLES", "PaperModels", "paper_document", "paper_tables"]

ABOUT = """\
Written by `python tools/analyze_model.py --paper`; do not edit. Source: arXiv 2006.03677, v1 (June
2020) and v4 (November 2020).

- **paper**: what the paper reports. v1's digits were compared with the paper one by one. **v4's are
  second-hand**: they come from notes on its tables and equations that nobody has compared with the
  paper, and its text gives other MACs for VT-R-18 and VT-R-34 (1570 M and 3280 M) than the notes
  (1579 M and 3299 M). A contradiction between numbers of v4 may therefore be a copying error.
- Accuracies and mIoU are the paper's; our models are *not trained* on ImageNet, COCO-Stuff or LIP.
  The rows of other methods in v1 Table 1 are left out.
- **ours**: of our models. Parameters of classifiers leave out norms, as the paper's do: only so
  does its ResNet-101 have 44.44 M (44.55 M with them).
- **formulas**: MACs of our models for one image, classifiers at 224x224, as the paper counts its
  own: VT modules by its formulas (`vt_seg/analysis/literal_macs.py`), all else by the convolutions,
  linear layers and matrix products that run. v1's Eq. 1, T = (W_V X) A, is taken as W_V (X A), the
  same function with W_V on L tokens: of the two readings this one fits VT-FPN's 8.5 G (v1 Table 4)
  and the MACs of VT-R-50 and VT-R-101. v4 names neither groups nor heads: the query on pixels has
  v1's 16 groups, the layers on tokens have none.
- **difference**: of the formulas' MACs, or our parameters, from the paper's. Above 1 % a note says
  why, or that nobody knows.
- **W_V on pixels**: the formulas strictly as written, with W_V of Eq. 1 on HW pixels. Recurrent
  tokenizers have theirs on pixels in both columns; v4 has none.
- **executed**: MACs that the implementation needs for the same result. Every weight that the
  formulas put on pixels (W_V, the recurrent tokenizers' keys and values, the projector's W_Q) is
  moved onto the tokens. Some MACs come on top: a resize that is a matrix product (positional
  encoding, pooling, the start of clustering) and the averages of clustering, which the formulas do
  not count.
- **stage 5**: what VT modules replace, alone."""


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
"""Revision and number to the table; by the notes v4 Tables 9 and 10 repeat v1 Table 4."""


def paper_tables(
    configs: str | Path, names: Sequence[str] = tuple(TABLES)
) -> Iterator[ReportTable]:
    """Tables of the paper, one by one.

    Args:
        configs: the project's ``configs/``.
        names: of ``TABLES``; default: all.

    Raises:
        FileNotFoundError: ``configs`` is not that folder.
    """
    models = PaperModels(configs)
    for name in names:
        yield TABLES[name](models)


def paper_document(tables: Sequence[ReportTable]) -> str:
    """The text of docs/paper_tables.md."""
    return document("The paper's tables", ABOUT, tables)
