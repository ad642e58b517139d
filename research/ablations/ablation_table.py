"""Tables of an ablation: each row compared with its base, seed by seed, and with the paper."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ..paper_tables import ablation_rows
from ..report_table import ReportTable, Row
from .ablation_rows import AblationRow

SCORES = {
    "mIoU": "mIoU",
    "mIoU-local": "local",
    "mIoU-context": "context",
    "top1": "top-1",
    "top5": "top-5",
}
"""Title of the column of each score; scores that an evaluation lacks have none."""

DEPTHS = (18, 34)  # Depths of the paper's ablations.


@dataclass(frozen=True)
class AblationResult:
    """The scores and the cost of a row.

    Attributes:
        row: The config.
        scores: Scores of each seed in percent, ``{"mIoU": ...}``; all rows have the same seeds.
        macs: Multiply-adds for one image.
        params: Number of parameters.
    """

    row: AblationRow
    scores: Sequence[Mapping[str, float]]
    macs: int
    params: int

    def values(self, score: str) -> list[float]:
        """Return one score of every seed."""
        return [scores[score] for scores in self.scores]


def differences(result: AblationResult, base: AblationResult, score: str) -> list[float]:
    """Return the row's score minus its base's, seed by seed: both saw the same images in order."""
    return [a - b for a, b in zip(result.values(score), base.values(score), strict=True)]


def pooled_std(groups: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation around each group's mean, pooled over the groups.

    With two seeds a row says little about its own spread; all rows together say more.

    Args:
        groups: Numbers of one row each; groups of a single number do not count.

    Returns:
        The standard deviation, or NaN if no group has two numbers.
    """
    squares = freedom = 0.0
    for group in groups:
        if len(group) > 1:
            squares += statistics.variance(group) * (len(group) - 1)
            freedom += len(group) - 1
    return math.sqrt(squares / freedom) if freedom else math.nan


def paper_difference(config: str, depth: int) -> str:
    """Return the paper's top-1 of an ablation minus that of its base; "" where it has none.

    Args:
        config: Name of a config in ``configs/ablations``.
        depth: Depth of the VT-ResNet, 18 or 34.
    """
    reported = ablation_rows(config, depth)
    if reported is None:
        return ""
    difference = Decimal(reported[0].top1) - Decimal(reported[1].top1)
    return f"{difference:+}" if difference else f"{abs(difference)}"


def ablation_table(results: Sequence[AblationResult]) -> ReportTable:
    """Return the means and ranges over the seeds, a row per config.

    A mean difference is bold if it exceeds twice its standard error, which comes from the scatter
    of all rows (:func:`pooled_std`). The last row has these limits where there are several seeds.
    """
    by_name = {result.row.name: result for result in results}
    titles = {score: title for score, title in SCORES.items() if score in results[0].scores[0]}
    with_base = [result for result in results if result.row.base is not None]
    paper = {
        r.row.name: [paper_difference(r.row.name, depth) for depth in DEPTHS] for r in with_base
    }
    has_paper = any(any(cells) for cells in paper.values())
    limits = {
        score: 2
        * pooled_std([differences(r, by_name[r.row.base], score) for r in with_base])
        / math.sqrt(len(results[0].scores))
        for score in titles
    }

    columns = ["row", "changes"]
    columns += ["paper, top-1 from base: VT-R-18", "VT-R-34"] if has_paper else []
    for title in titles.values():
        columns += [title, "from base"]
    columns += ["params M", "MACs G"]
    rows = []
    for result in results:
        row = result.row
        cells = [row.name, _changes(row) if row.base else "**base**"]
        cells += paper.get(row.name, ["", ""]) if has_paper else []
        for score in titles:
            cells.append(_mean_and_range(result.values(score), ""))
            if row.base:
                from_base = differences(result, by_name[row.base], score)
                cells.append(_mean_and_range(from_base, "+", limits[score]))
            else:
                cells.append("")
        rows.append(Row((*cells, f"{result.params / 1e6:.2f}", f"{result.macs / 1e9:.3f}")))
    if with_base and len(results[0].scores) > 1:
        cells = [text for limit in limits.values() for text in ("", f"{limit:.2f}")]
        empty = [""] * (2 * has_paper)
        rows.append(Row(("twice the standard error", "", *empty, *cells, "", "")))
    return ReportTable("Ablations", tuple(columns), tuple(rows), num_labels=2)


def seed_table(results: Sequence[AblationResult], seeds: Sequence[int]) -> ReportTable:
    """Return the main score of every run."""
    score = next(score for score in SCORES if score in results[0].scores[0])
    rows = tuple(Row((r.row.name, *(f"{v:.2f}" for v in r.values(score)))) for r in results)
    columns = (SCORES[score], *(f"seed {seed}" for seed in seeds))
    return ReportTable("Every run", columns, rows)


def _changes(row: AblationRow) -> str:
    """Return the keys that a row sets, without the nodes above them: ``MIXER none``."""
    return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in row.changes.items())


def _mean_and_range(values: Sequence[float], sign: str, limit: float = math.nan) -> str:
    mean = statistics.fmean(values)
    text = f"{mean:{sign}.2f}"
    if abs(mean) > limit:
        text = f"**{text}**"
    if len(values) > 1:
        text += f" ({min(values):{sign}.2f} to {max(values):{sign}.2f})"
    return text
