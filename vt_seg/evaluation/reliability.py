"""Confidence compared with accuracy, in bins: calibration error, table and reliability diagram."""

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

NUM_BINS = 15
"""Bins of equal width, as in Guo et al. 2017 (arXiv 1706.04599)."""


def bin_counts(
    confidence: np.ndarray, predicted: np.ndarray, truth: np.ndarray, num_classes: int
) -> np.ndarray:
    """Return counts ``(3, C, NUM_BINS)`` of pixels by predicted class and confidence.

    They are the pixels, the sum of their confidences, and how many are right. A bin holds the
    confidences above its lower end, up to and with its upper end. The arrays are ``(n,)``.
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS) - 1, 0, NUM_BINS - 1).astype(int)
    cells = predicted * NUM_BINS + bins
    weights = (None, confidence, predicted == truth)
    counts = [np.bincount(cells, each, num_classes * NUM_BINS) for each in weights]
    return np.stack(counts).reshape(3, num_classes, NUM_BINS).astype(float)


def calibration_error(counts: np.ndarray) -> float:
    """Return the expected calibration error in percent of ``(3, NUM_BINS)``; NaN without a pixel.

    It is |accuracy - mean confidence| of a bin, averaged over the bins by their pixels.
    """
    pixels, confidence, right = counts
    return float(100 * np.abs(right - confidence).sum() / pixels.sum()) if pixels.any() else np.nan


def calibration_table(counts: np.ndarray, class_names: Sequence[str]) -> Iterator[list]:
    """Yield a header, a row per bin, and a row per predicted class; counts are `bin_counts`'."""
    yield ["predicted class", "confidence", "pixels", "mean confidence", "accuracy", "ECE"]

    def row(name: str, bins: str, counts: np.ndarray) -> list:
        pixels, confidence, right = counts.sum(axis=1)
        if not pixels:
            return [name, bins, 0, "", "", ""]
        shares = (100 * confidence / pixels, 100 * right / pixels, calibration_error(counts))
        return [name, bins, int(pixels), *(f"{share:.4f}" for share in shares)]

    together = counts.sum(axis=1)
    for i in range(NUM_BINS):
        yield row("any", f"{i / NUM_BINS:.3f} to {(i + 1) / NUM_BINS:.3f}", together[:, i, None])
    for i, name in enumerate(class_names):
        yield row(name, "0 to 1", counts[:, i])
    yield row("any", "0 to 1", together)


def draw_reliability(diagrams: Mapping[str, np.ndarray]) -> bytes:
    """Draw accuracy over confidence, above the pixels of each bin, of ``(3, NUM_BINS)``, as PNG."""
    # Only evaluations need Matplotlib. Its pyplot has global state and may want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(diagrams), 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        2, len(diagrams), squeeze=False, sharex=True, gridspec_kw={"height_ratios": (4, 1)}
    )
    edges = np.linspace(0, 1, NUM_BINS + 1)
    for (title, counts), (upper, lower) in zip(diagrams.items(), axes.T, strict=True):
        pixels, confidence, right = counts
        bins = pixels > 0
        accuracy, mean = right[bins] / pixels[bins], confidence[bins] / pixels[bins]
        bars = {"align": "edge", "width": 1 / NUM_BINS, "edgecolor": "white"}
        upper.bar(edges[:-1][bins], accuracy, color="tab:blue", label="accuracy", **bars)
        upper.vlines(mean, accuracy, mean, color="tab:red", label="gap to the mean confidence")
        upper.plot(mean, mean, "o", color="tab:red", markersize=3)
        upper.plot((0, 1), (0, 1), "--", color="0.4", label="calibrated")
        upper.set(
            xlim=(0, 1), ylim=(0, 1), ylabel="accuracy",
            title=f"{title}\nECE {calibration_error(counts):.2f} %",
        )  # fmt: skip
        upper.legend(loc="upper left", fontsize=8)
        lower.bar(edges[:-1], 100 * pixels / max(pixels.sum(), 1), color="0.6", **bars)
        lower.set(xlabel="confidence", ylabel="% of pixels")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
