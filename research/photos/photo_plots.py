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
    """Return a PNG of two panels, the second only if there are times, with std over seeds as bars.

    Args:
        titles: Titles of the rows by name.
        results: Results by name and seed.
        costs: Costs of one image by name.
        milliseconds: Time of one image by name; rows without are left out of the second panel.
        device: What the times were measured on.
    """
    panels = 2 if milliseconds else 1
    figure = Figure(figsize=(6 * panels, 5), layout="constrained")
    left, *rest = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    for number, (name, title) in enumerate(titles.items()):
        if not (by_seed := results.get(name)):
            continue
        mean, std = mean_and_std(list(scores_by_seed(by_seed, "mIoU").values()))
        marker = "os^Dv"[number // 10 % 5]
        places = [(left, sum(costs[name].macs.values()) / 1e9)]
        places += [(axes, milliseconds[name]) for axes in rest if name in milliseconds]
        for axes, x in places:
            axes.errorbar(
                x, mean, yerr=std if len(by_seed) > 1 else None, fmt=marker, capsize=3,
                color=f"C{number % 10}", label=title,
            )  # fmt: skip
    left.set(xlabel="GMACs of the whole model", ylabel="mIoU, %")
    for axes in rest:
        axes.set(xlabel=f"ms per image, to labels ({device})")
    for axes in (left, *rest):
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
    left.legend(fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
