"""Tables of the experiment: means over seeds, and differences between runs with the same seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vt_seg.complexity import ModelCost

from ..report_table import ReportTable, Row

BASELINE = "fpn"
COLUMNS = (
    *("row", "seeds", "mIoU", "to FPN (pairs)", "params M", "GMACs neck", "GMACs"),
    *("s / iteration", "MB"),
)

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Results by row and seed: ``{"scores": {"mIoU": ...}, "seconds_per_iteration": ...,
"memory_mb": ...}``."""


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, which is NaN for a single value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def paired_difference(
    scores: Mapping[int, float], baseline: Mapping[int, float]
) -> tuple[float, float, int]:
    """Compare two rows over the seeds that both have.

    Args:
        scores: Scores of a row, by seed.
        baseline: Scores of the row to compare with, by seed.

    Returns:
        The mean of ``scores - baseline``, its standard error (NaN below two seeds), and the number
        of seeds; (NaN, NaN, 0) without a common seed.
    """
    differences = [scores[seed] - baseline[seed] for seed in scores if seed in baseline]
    if not differences:
        return math.nan, math.nan, 0
    mean, std = mean_and_std(differences)
    return mean, std / math.sqrt(len(differences)), len(differences)


def neck_table(
    titles: Mapping[str, str], results: Results, costs: Mapping[str, ModelCost]
) -> ReportTable:
    """Return scores and costs of the rows that have results.

    Args:
        titles: Titles of the rows by name.
        results: Results by name and seed.
        costs: Costs for one image by name.
    """
    baseline = _by_seed(results.get(BASELINE, {}), "mIoU")
    rows = []
    for name, title in titles.items():
        if not (by_seed := results.get(name)):
            continue
        miou = _by_seed(by_seed, "mIoU")
        difference, error, pairs = paired_difference(miou, baseline)
        macs, parameters = costs[name].macs, costs[name].parameters
        cells = (
            title,
            str(len(miou)),
            _plus_minus(*mean_and_std(list(miou.values()))),
            "" if name == BASELINE else f"{_plus_minus(difference, error, '+')} ({pairs})",
            f"{sum(parameters.values()) / 1e6:.2f}",
            f"{macs['neck'] / 1e9:.2f}",
            f"{sum(macs.values()) / 1e9:.2f}",
            _median(by_seed, "seconds_per_iteration", 3),
            _median(by_seed, "memory_mb", 0),
        )
        rows.append(Row(cells))
    return ReportTable("Necks", COLUMNS, tuple(rows))


def class_table(titles: Mapping[str, str], results: Results) -> ReportTable:
    """Return the mean IoU of each class, for the rows that have results."""
    names = [name for name in titles if results.get(name)]
    scores = next(iter(results[names[0]].values()))["scores"]
    classes = [key.removeprefix("IoU-") for key in scores if key.startswith("IoU-")]
    rows = []
    for name in names:
        means = [statistics.mean(_by_seed(results[name], f"IoU-{c}").values()) for c in classes]
        cells = ("-" if math.isnan(mean) else f"{mean:.1f}" for mean in means)
        rows.append(Row((titles[name], *cells)))
    return ReportTable("IoU by class, mean over the seeds", ("row", *classes), tuple(rows))


def _by_seed(results: Mapping[int, Mapping[str, Any]], score: str) -> dict[int, float]:
    return {seed: result["scores"][score] for seed, result in results.items()}


def _median(results: Mapping[int, Mapping[str, Any]], key: str, digits: int) -> str:
    values = [result[key] for result in results.values() if result.get(key) is not None]
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def _plus_minus(mean: float, error: float, sign: str = "") -> str:
    if math.isnan(mean):
        return "-"
    text = f"{mean:{sign}.2f}"
    return text if math.isnan(error) else f"{text} ± {error:.2f}"
