"""Scores of an ablation as a table: each row beside its base, seed by seed, and the paper's."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tabulate import tabulate

from ..paper_tables import numbers
from ..paper_tables.readings import ABLATIONS
from .ablation_rows import AblationRow

SCORES = {
    "mIoU": "mIoU",
    "mIoU-local": "local",
    "mIoU-context": "context",
    "top1": "top-1",
    "top5": "top-5",
}
"""Scores that have a column, where the evaluation has them, and what the column is called."""


@dataclass(frozen=True)
class AblationResult:
    """What came out of a row.

    Attributes:
        row: the config.
        scores: of each seed, in one order for all rows: ``{"mIoU": ...}`` in percent.
        macs: multiply-adds for one image.
        params: number of parameters.
    """

    row: AblationRow
    scores: Sequence[Mapping[str, float]]
    macs: int
    params: int

    def values(self, score: str) -> list[float]:
        """One score of every seed."""
        return [scores[score] for scores in self.scores]


def differences(result: AblationResult, base: AblationResult, score: str) -> list[float]:
    """By how much a row is above its base, seed by seed: both saw the same images in one order."""
    return [a - b for a, b in zip(result.values(score), base.values(score), strict=True)]


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation around each group's own mean, pooled over the groups.

    With two seeds a row says little about its own spread; all rows together say more.

    Args:
        groups: numbers of one row each; those of a single number do not count.

    Returns:
        NaN if there is no group of two.
    """
    squares = freedom = 0.0
    for group in groups:
        if len(group) > 1:
            squares += statistics.variance(group) * (len(group) - 1)
            freedom += len(group) - 1
    return math.sqrt(squares / freedom) if freedom else math.nan


def paper_difference(name: str, depth: int) -> str:
    """The paper's top-1 of an ablation minus that of its base, "" where it has none.

    Args:
        name: of a config in ``configs/ablations``.
        depth: of the VT-ResNet, 18 or 34.
    """
    variant = next((key for key, config in ABLATIONS.items() if config == name), None)
    if variant is None:
        return ""
    if variant in numbers.V1_TABLE_3[depth]:
        table, base = numbers.V1_TABLE_3[depth], numbers.V1_TABLE_3[depth]["base"]
    else:
        v4 = (numbers.V4_TABLE_3, numbers.V4_TABLE_4, numbers.V4_TABLE_5, numbers.V4_TABLE_6)
        tables = [table[depth] for table in (*v4, numbers.V4_TABLE_7)]
        table = next(table for table in tables if variant in table)
        base = numbers.V4_TABLE_2[depth]
    difference = Decimal(table[variant].top1) - Decimal(base.top1)
    return f"{difference:+}" if difference else f"{abs(difference)}"


def format_ablations(results: Sequence[AblationResult]) -> str:
    """Markdown: a row per config, with means and ranges over the seeds; then how far to trust them.

    A mean difference is bold where it is more than twice its standard error, which comes from the
    scatter of all rows (:func:`pooled_deviation`).
    """
    by_name = {result.row.name: result for result in results}
    shown = {score: title for score, title in SCORES.items() if score in results[0].scores[0]}
    based = [result for result in results if result.row.base is not None]
    paper = {r.row.name: [paper_difference(r.row.name, depth) for depth in (18, 34)] for r in based}
    has_paper = any(any(cells) for cells in paper.values())
    errors = {
        score: 2
        * pooled_deviation([differences(r, by_name[r.row.base], score) for r in based])
        / math.sqrt(len(results[0].scores))
        for score in shown
    }

    headers = ["row", "changes"]
    headers += ["paper, top-1 from base: VT-R-18", "VT-R-34"] if has_paper else []
    for title in shown.values():
        headers += [title, "from base"]
    headers += ["params M", "MACs G"]
    table = []
    for result in results:
        row = result.row
        cells = [row.name, _changes(row) if row.base else "**base**"]
        cells += paper.get(row.name, ["", ""]) if has_paper else []
        for score in shown:
            cells.append(_mean_and_range(result.values(score), ""))
            if row.base:
                from_base = differences(result, by_name[row.base], score)
                cells.append(_mean_and_range(from_base, "+", errors[score]))
            else:
                cells.append("")
        table.append([*cells, f"{result.params / 1e6:.2f}", f"{result.macs / 1e9:.3f}"])
    align = ["left", "left"] + ["right"] * (len(headers) - 2)
    text = tabulate(table, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    if not based:
        return text
    if len(results[0].scores) < 2:
        return f"{text}\n\nOne seed: no spread is known, and no difference can be told from chance."
    limits = ", ".join(f"{error:.2f} ({shown[score]})" for score, error in errors.items())
    return (
        f"{text}\n\nBold differences exceed twice their standard error: {limits}. The error is "
        "that of a mean over the seeds; the scatter is pooled over all rows."
    )


def format_seeds(results: Sequence[AblationResult], seeds: Sequence[int]) -> str:
    """Markdown: the main score of every run."""
    score = next(score for score in SCORES if score in results[0].scores[0])
    headers = [SCORES[score], *(f"seed {seed}" for seed in seeds)]
    table = [[r.row.name, *(f"{value:.2f}" for value in r.values(score))] for r in results]
    align = ["left"] + ["right"] * len(seeds)
    return tabulate(table, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)


def _changes(row: AblationRow) -> str:
    """``MIXER none``: the keys that a row sets, without the nodes above them."""
    return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.changes.items())


def _mean_and_range(values: Sequence[float], sign: str, limit: float = math.nan) -> str:
    mean = statistics.fmean(values)
    text = f"{mean:{sign}.2f}"
    if abs(mean) > limit:
        text = f"**{text}**"
    if len(values) > 1:
        text += f" ({min(values):{sign}.2f} to {max(values):{sign}.2f})"
    return text
