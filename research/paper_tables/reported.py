"""The numbers that the paper's tables report, and our notes on them, from ``reported.yaml``."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Keys = tuple[tuple[str, Any], ...]
"""Overrides of MODEL.VT_RESNET: ``(("NUM_TOKENS", 16), ...)``."""

DEPTHS = (18, 34, 50, 101)


class ClassifierRow(NamedTuple):
    """A classifier on ImageNet at 224 x 224 pixels, by the digits of the table.

    Attributes:
        top1: Accuracy in percent.
        macs: Multiply-adds, in G in v1 and v4 Table 8, in M in v4 Tables 2-7.
        params: Parameters in M; "" where the table has none.
    """

    top1: str
    macs: str
    params: str


class SegmentationRow(NamedTuple):
    """A segmentation model, by the digits of the table.

    Attributes:
        miou: mIoU in percent.
        total: Multiply-adds of the model in G.
        neck: Multiply-adds of the neck in G.
    """

    miou: str
    total: str
    neck: str


def _classifiers(rows: Mapping[Any, Sequence[str]]) -> dict[Any, ClassifierRow]:
    return {name: ClassifierRow(*cells) for name, cells in rows.items()}


def _by_depth(rows: Mapping[int, Mapping[str, Sequence[str]]]) -> dict[int, dict]:
    return {depth: _classifiers(variants) for depth, variants in rows.items()}


def _keys(interpretations: Mapping[str, Mapping[str, Any]]) -> dict[str, Keys]:
    return {name: tuple(keys.items()) for name, keys in interpretations.items()}


def _notes(entries: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], str]:
    return {
        labels: entry["note"]
        for entry in entries
        for row in entry["rows"]
        for labels in product(*([label] if isinstance(label, str) else label for label in row))
    }


_DATA = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
_V1, _V4, _INTERPRETATIONS = _DATA["v1"], _DATA["v4"], _DATA["interpretations"]

V1_TABLE_1: dict[str, ClassifierRow] = _classifiers(_V1["table_1"])
REDUCTIONS: dict[str, list[str]] = _V1["table_2"]
V1_TABLE_3: dict[int, dict[str, ClassifierRow]] = _by_depth(_V1["table_3"])
V1_TABLE_4 = {
    (dataset, model): SegmentationRow(*cells)
    for dataset, of in _V1["table_4"].items()
    for model, cells in of["models"].items()
}
SEGMENTATION_SIZES = {name: tuple(of["size"]) for name, of in _V1["table_4"].items()}
V4_TABLE_2: dict[int, ClassifierRow] = _classifiers(_V4["table_2"])
V4_SAVED_MACS: dict[int, int] = _V4["saved_macs"]
V4_ABLATIONS = {number: _by_depth(rows) for number, rows in _V4["ablations"].items()}
V4_TABLE_8: dict[str, ClassifierRow] = _classifiers(_V4["table_8"])

V1_INTERPRETATIONS = {depth: _keys(of) for depth, of in _INTERPRETATIONS["v1"].items()}
V1_TABLE_3_INTERPRETATIONS: dict[int, str] = _INTERPRETATIONS["v1_table_3"]
V4_INTERPRETATIONS = _keys(_INTERPRETATIONS["v4"])

ABLATION_CONFIGS: dict[str, str] = _DATA["ablation_configs"]
NOTES = _notes(_DATA["notes"])
"""Note by (table, label, ...), the labels being the cells at the left of the row."""


def fitting_keys(revision: str, depth: int) -> Keys:
    """Return the keys of the interpretation that fits v1's counts; none for v4."""
    return next(iter(V1_INTERPRETATIONS[depth].values())) if revision == "v1" else ()


def ablation_rows(config: str, depth: int) -> tuple[ClassifierRow, ClassifierRow] | None:
    """Return the reported row of an ablation and that of its base.

    Args:
        config: Name of a config in ``configs/ablations``.
        depth: Depth of the VT-ResNet, 18 or 34.

    Returns:
        (row, base), or None where the paper has no such row.
    """
    variant = next((name for name, file in ABLATION_CONFIGS.items() if file == config), None)
    if variant is None:
        return None
    if variant in V1_TABLE_3[depth]:
        return V1_TABLE_3[depth][variant], V1_TABLE_3[depth]["base"]
    rows = (table[depth][variant] for table in V4_ABLATIONS.values() if variant in table[depth])
    return next(rows), V4_TABLE_2[depth]
