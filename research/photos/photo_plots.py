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
    """Return a PNG of mIoU over the neck's GMACs, the whole model's, and times if there are any.

    Bars are the standard deviation over seeds; the legend stands beside the panels.

    Args:
        titles: Titles of the rows by name.
        results: Results by name and seed.
        costs: Costs of one image by name.
        milliseconds: Time of one image by name; rows without are left out of the last panel.
        device: What the times were measured on.
    """
    panels = 3 if milliseconds else 2
    figure = Figure(figsize=(4 * panels + 4, 5), layout="constrained")
    neck, model, *rest = figure.subplots(1, panels, sharey=True)
    for number, (name, title) in enumerate(titles.items()):
        if not (by_seed := results.get(name)):
            continue
        mean, std = mean_and_std(list(scores_by_seed(by_seed, "mIoU").values()))
        marker = "os^Dv"[number // 10 % 5]
        macs = costs[name].macs
        places = [(neck, macs["neck"] / 1e9), (model, sum(macs.values()) / 1e9)]
        places += [(axes, milliseconds[name]) for axes in rest if name in milliseconds]
        for axes, x in places:
            axes.errorbar(
                x, mean, yerr=std if len(by_seed) > 1 else None, fmt=marker, capsize=3,
                color=f"C{number % 10}", label=title,
            )  # fmt: skip
    neck.set(xlabel="GMACs of the neck", xscale="log", ylabel="mIoU, %")
    model.set(xlabel="GMACs of the whole model", xlim=(0, None))
    for axes in rest:
        axes.set(xlabel=f"ms per image, to labels ({device})", xlim=(0, None))
    for axes in (neck, model, *rest):
        axes.grid(alpha=0.3)
    handles, labels = neck.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
