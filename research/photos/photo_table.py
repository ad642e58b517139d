"""Tables of the experiment: means over seeds, and differences between runs with the same seed."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from vt_seg.complexity import ModelCost

from ..report_table import ReportTable, Row

BASELINES = {"fpn": "to FPN (pairs)", "laterals": "to laterals (pairs)"}
COLUMNS = (
    *("row", "seeds", "mIoU", *BASELINES.values(), "params M", "GMACs neck", "GMACs"),
    *("ms / image", "s / iteration", "MB"),
)

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Results by row and seed: ``{"scores": {"mIoU": ...}, "seconds_per_iteration": ...,
"memory_mb": ..., "signs": {"vt/res2/added_norm": ...}}``."""


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
    titles: Mapping[str, str],
    results: Results,
    costs: Mapping[str, ModelCost],
    milliseconds: Mapping[str, float],
) -> ReportTable:
    """Return scores and costs of the rows that have results.

    Args:
        titles: Titles of the rows by name.
        results: Results by name and seed.
        costs: Costs for one image by name.
        milliseconds: Time of one image by name, of those that were timed.
    """
    baselines = {name: scores_by_seed(results.get(name, {}), "mIoU") for name in BASELINES}
    rows = []
    for name, title in titles.items():
        if not (by_seed := results.get(name)):
            continue
        miou = scores_by_seed(by_seed, "mIoU")
        macs, parameters = costs[name].macs, costs[name].parameters
        cells = (
            title,
            str(len(miou)),
            _plus_minus(*mean_and_std(list(miou.values()))),
            *("" if name == other else _paired(miou, baselines[other]) for other in BASELINES),
            f"{sum(parameters.values()) / 1e6:.2f}",
            f"{macs['neck'] / 1e9:.2f}",
            f"{sum(macs.values()) / 1e9:.2f}",
            f"{milliseconds[name]:.1f}" if name in milliseconds else "-",
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
        means = [
            statistics.mean(scores_by_seed(results[name], f"IoU-{c}").values()) for c in classes
        ]
        cells = ("-" if math.isnan(mean) else f"{mean:.1f}" for mean in means)
        rows.append(Row((titles[name], *cells)))
    return ReportTable("IoU by class, mean over the seeds", ("row", *classes), tuple(rows))


def signs_table(titles: Mapping[str, str], results: Results) -> ReportTable | None:
    """Return the last signs of life of the tokens in percent, mean over the seeds.

    A row with several layers has a line for each. "adds" is the norm of what a projector adds over
    that of its map, "sees" the effective share of the pixels that a token averages.

    Returns:
        The table; None if no row has tokens.
    """
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for name, title in titles.items():
        for result in results.get(name, {}).values():
            for key, value in result.get("signs", {}).items():
                match = re.fullmatch(r"vt/(\w+)(?:/layer(\d+))?/(added|attended)_\w+", key)
                assert match, key
                level, layer, sign = match.groups()
                line = f"{title}, layer {layer}" if layer else title
                column = ("adds" if sign == "added" else "sees", level)
                found.setdefault(line, {}).setdefault(column, []).append(100 * value)
    if not found:
        return None
    columns = sorted({column for line in found.values() for column in line})
    rows = [
        Row((line, *(f"{statistics.mean(v[c]):.2g}" if c in v else "-" for c in columns)))
        for line, v in found.items()
    ]
    names = (f"{sign} {level}" for sign, level in columns)
    return ReportTable("Signs of life at the end of training, %", ("row", *names), tuple(rows))


def scores_by_seed(results: Mapping[int, Mapping[str, Any]], score: str) -> dict[int, float]:
    """Return one score of a row's results, by seed."""
    return {seed: result["scores"][score] for seed, result in results.items()}


def _median(results: Mapping[int, Mapping[str, Any]], key: str, digits: int) -> str:
    values = [result[key] for result in results.values() if result.get(key) is not None]
    return f"{statistics.median(values):.{digits}f}" if values else "-"


def _paired(scores: Mapping[int, float], baseline: Mapping[int, float]) -> str:
    difference, error, pairs = paired_difference(scores, baseline)
    return f"{_plus_minus(difference, error, '+')} ({pairs})" if pairs else "-"


def _plus_minus(mean: float, error: float, sign: str = "") -> str:
    if math.isnan(mean):
        return "-"
    text = f"{mean:{sign}.2f}"
    return text if math.isnan(error) else f"{text} ± {error:.2f}"
