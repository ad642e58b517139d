"""A confusion matrix as a picture."""

import io
from collections.abc import Sequence

import numpy as np

# Up to so many classes the shares are written into the cells.
_MAX_WRITTEN = 30


def draw_confusion(matrix: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Draw for each true class (a row) what its pixels were taken for (columns).

    Args:
        matrix: ``(C, C)`` pixels by predicted (rows) and true class (columns).
        class_names: C names.

    Returns:
        the content of a PNG file.
    """
    # Only who evaluates pays for the import; no pyplot, so no global state and no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    count = len(class_names)
    true = matrix.sum(axis=0)
    shares = np.full((count, count), np.nan)
    shares[true > 0] = 100 * matrix.T[true > 0] / true[true > 0, None]

    cell = 0.34 if count <= _MAX_WRITTEN else 0.13  # inches
    longest = 0.085 * max(map(len, class_names))
    side = max(3.0, cell * count)
    figure = Figure(figsize=(side + longest + 1.2, side + longest + 0.8), dpi=120)
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("0.9")  # shows where a class is absent
    # By the square root, so that a confusion of some percent shows.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
    size = 8 if count <= _MAX_WRITTEN else 6
    axes.set_xticks(range(count), class_names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), class_names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (grey: absent)")
    bar = figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01)
    bar.set_label("percent of the true class's pixels")
    if count <= _MAX_WRITTEN:
        for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
            value = shares[row, column]
            colour = "white" if value > 30 else "black"
            axes.text(
                column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour
            )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
