"""The benchmark's plots."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .roofline import MATMUL, Roofline
from .scaling import BUILDERS, Cost, pixel_exponent
from .settings import Settings, named

COLORS = dict(zip(BUILDERS, ("tab:orange", "tab:blue", "tab:red", "tab:green"), strict=True))


def scaling_plot(sizes: Cost, tokens: Cost, roofline: Roofline, settings: Settings) -> bytes:
    """Return a PNG of four panels: time and memory over pixels, over tokens, and the roofline."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    title = f"{settings.precision.name}; below: {settings.images}"
    figure.suptitle(named(title, settings.layout))
    (time_axes, memory_axes), (token_axes, roof_axes) = figure.subplots(2, 2)
    _over_pixels(time_axes, sizes, "seconds", "time, ms", 1e3)
    _bounds(time_axes, sizes, roofline)
    _over_pixels(memory_axes, sizes, "peaks", "peak memory above the model, MiB", 2**-20)
    _over_tokens(token_axes, tokens)
    _roofline(roof_axes, roofline)
    for axes in (time_axes, memory_axes, roof_axes):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _over_pixels(axes: Axes, cost: Cost, kind: str, label: str, scale: float) -> None:
    for name in BUILDERS:
        found = getattr(cost, kind)(name)
        axes.loglog(
            [side**2 for side in found],
            [scale * value for value in found.values()],
            "o-",
            color=COLORS[name],
            label=f"{name}: pixels$^{{{pixel_exponent(found):.2f}}}$",
        )
    axes.set(xlabel="pixels of a square image", ylabel=label)
    axes.margins(y=0.15)


def _bounds(axes: Axes, sizes: Cost, roofline: Roofline) -> None:
    """Draw the time of the VT-FPN neck if it only multiplied, or only moved its maps."""
    side = [size**2 for size in sizes.times]
    _, operations = roofline.parts["VT-FPN"]
    pixels = roofline.pixels
    bandwidth, rate = roofline.bandwidth, roofline.rate
    for seconds, style, what in (
        (operations.flops / rate, "--", "VT-FPN's products at the convolution's rate"),
        (operations.moved / bandwidth, ":", "VT-FPN's bytes at the copy's rate"),
    ):
        axes.loglog(
            side, [1e3 * seconds * n / pixels for n in side], style, color="gray", label=what
        )


def _over_tokens(axes: Axes, tokens: Cost) -> None:
    (name,) = next(iter(tokens.memory.values()))
    seconds, peaks = tokens.seconds(name), tokens.peaks(name)
    axes.plot(list(seconds), [1e3 * s for s in seconds.values()], "o-", color="tab:blue")
    axes.set(xlabel="tokens per level", ylabel="VT-FPN neck, ms (blue)", xscale="log", ylim=0)
    axes.set_xticks(list(seconds), [str(number) for number in seconds])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(list(peaks), [p / 2**20 for p in peaks.values()], "s--", color="tab:purple")
    right.set(ylabel="peak memory, MiB (purple)", ylim=0)


def _roofline(axes: Axes, roofline: Roofline) -> None:
    bandwidth, rate = roofline.bandwidth, roofline.rate
    seconds, operations = roofline.machine[MATMUL]
    points = {name: (o.intensity, o.flops / s) for name, (s, o) in roofline.parts.items()}
    low = min(1.0, *(x for x, _ in points.values())) / 2
    high = max(2 * rate / bandwidth, *(x for x, _ in points.values())) * 2
    ridge = rate / bandwidth
    axes.loglog(
        [low, ridge, high],
        [low * bandwidth / 1e9, rate / 1e9, rate / 1e9],
        color="black",
        label=f"copy {bandwidth / 1e9:.0f} GB/s, 3x3 convolution {rate / 1e9:.0f} GFLOP/s",
    )
    axes.axhline(
        operations.flops / seconds / 1e9,
        color="gray",
        linestyle="--",
        label=f"matrix product {operations.flops / seconds / 1e9:.0f} GFLOP/s",
    )
    for name, (intensity, achieved) in points.items():
        marker = "s" if "Detectron2" in name else "o"
        axes.plot(intensity, achieved / 1e9, marker, label=name)
    # The limit leaves room for the legend above the roof.
    axes.set(xlabel="operations per byte moved", ylabel="GFLOP/s", ylim=(None, 12 * rate / 1e9))
