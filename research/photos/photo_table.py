"""Tables of the experiment: means over seeds, and differences of runs with the same seed."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from vt_seg.complexity import ModelCost

BASELINE = "fpn"


def mean_and_std(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation, NaN where there is one value only."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def paired_difference(
    scores: Mapping[int, float], baseline: Mapping[int, float]
) -> tuple[float, float, int]:
    """Compare two rows over the seeds that both have.

    Args:
        scores: of a row, by seed.
        baseline: of the row to compare with.

    Returns:
        the mean of ``scores - baseline``, its standard error (NaN below two seeds), and the number
        of seeds; NaN, NaN, 0 without a common seed.
    """
    differences = [scores[seed] - baseline[seed] for seed in scores if seed in baseline]
    if not differences:
        return math.nan, math.nan, 0
    mean, std = mean_and_std(differences)
    return mean, std / math.sqrt(len(differences)), len(differences)


def format_tables(
    titles: Mapping[str, str],
    results: Mapping[str, Mapping[int, Mapping[str, Any]]],
    costs: Mapping[str, ModelCost],
    size: tuple[int, int],
) -> str:
    """Return the table of the rows and that of their IoU per class, in Markdown.

    Args:
        titles: of the rows, by name.
        results: by row and seed: ``{"scores": {"mIoU": ...}, "seconds_per_iteration": ...,
            "memory_mb": ...}``.
        costs: of one image, by row.
        size: (height, width) of that image.
    """
    names = [name for name in titles if results.get(name)]
    baseline = _of_seeds(results.get(BASELINE, {}), "mIoU")
    rows = []
    for name in names:
        by_seed = results[name]
        miou = _of_seeds(by_seed, "mIoU")
        difference, error, pairs = paired_difference(miou, baseline)
        macs, parameters = costs[name].macs, costs[name].parameters
        rows.append(
            [
                titles[name],
                str(len(miou)),
                _plus_minus(*mean_and_std(list(miou.values()))),
                "" if name == BASELINE else f"{_plus_minus(difference, error, '+')} ({pairs})",
                f"{sum(parameters.values()) / 1e6:.2f}",
                f"{macs['neck'] / 1e9:.2f}",
                f"{sum(macs.values()) / 1e9:.2f}",
                _median(by_seed, "seconds_per_iteration", "{:.3f}"),
                _median(by_seed, "memory_mb", "{:.0f}"),
            ]
        )
    columns = [
        "row",
        "seeds",
        "mIoU",
        "to FPN (pairs)",
        "params M",
        "GMACs neck",
        "GMACs",
        "s / iteration",
        "MB",
    ]
    classes = [
        key.removeprefix("IoU-")
        for key in next(iter(results[names[0]].values()))["scores"]
        if key.startswith("IoU-")
    ]
    per_class = [
        [
            titles[name],
            *(_number(mean_and_std(list(_of_seeds(results[name], f"IoU-{c}").values()))[0])
              for c in classes),
        ]
        for name in names
    ]  # fmt: skip
    text = (
        "mIoU in percent: mean ± sample standard deviation over the seeds. To FPN: mean of the "
        "differences between runs with the same seed ± its standard error, and their number. GMACs "
        f"of one image of {size[0]}x{size[1]} pixels (FPN pads it to a multiple of 32). Seconds an "
        "iteration with all runs that ran at the same time; MB of GPU memory at the peak of "
        "training."
    )
    return "\n\n".join(
        [_pipe(rows, columns), text, "IoU per class, mean over the seeds:",
         _pipe(per_class, ["row", *classes])]
    )  # fmt: skip


def _pipe(rows: list[list[str]], columns: list[str]) -> str:
    align = ["left", *["right"] * (len(columns) - 1)]
    return tabulate(rows, headers=columns, tablefmt="pipe", disable_numparse=True, colalign=align)


def _of_seeds(by_seed: Mapping[int, Mapping[str, Any]], key: str) -> dict[int, float]:
    return {seed: result["scores"][key] for seed, result in by_seed.items()}


def _median(by_seed: Mapping[int, Mapping[str, Any]], key: str, form: str) -> str:
    values = [result[key] for result in by_seed.values() if result.get(key) is not None]
    return form.format(statistics.median(values)) if values else "-"


def _plus_minus(mean: float, spread: float, sign: str = "") -> str:
    if math.isnan(mean):
        return "-"
    text = f"{mean:{sign}.2f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.2f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"
