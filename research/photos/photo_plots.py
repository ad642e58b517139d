"""Plots of the experiment: mIoU over multiply-adds and over milliseconds per image."""

import io
from collections.abc import Mapping

from matplotlib.figure import Figure

from vt_seg.complexity import ModelCost

from .photo_table import Results, mean_and_std, scores_by_seed


def accuracy_plot(
    titles: Mapping[str, str],
    results: Results,
    costs: Mapping[str, ModelCost],
    milliseconds: Mapping[str, float],
    device: str,
) -> bytes:
    """Return a PNG of two panels, with the standard deviation over seeds as error bars.

    Args:
        titles: Titles of the rows by name.
        results: Results by name and seed.
        costs: Costs of one image by name.
        milliseconds: Time of one image by name; rows without are left out of the second panel.
        device: What the times were measured on.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for number, (name, title) in enumerate(titles.items()):
        if not (by_seed := results.get(name)):
            continue
        mean, std = mean_and_std(list(scores_by_seed(by_seed, "mIoU").values()))
        marker = "os^Dv"[number // 10 % 5]
        places = ((left, sum(costs[name].macs.values()) / 1e9), (right, milliseconds.get(name)))
        for axes, x in places:
            if x is not None:
                axes.errorbar(
                    x, mean, yerr=std if len(by_seed) > 1 else None, fmt=marker, capsize=3,
                    color=f"C{number % 10}", label=title,
                )  # fmt: skip
    left.set(xlabel="GMACs of the whole model", ylabel="mIoU, %")
    right.set(xlabel=f"ms per image, to labels ({device})")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    left.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
