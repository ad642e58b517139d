"""Colours for attention and for telling tokens apart."""

import cv2
import matplotlib
import numpy as np

# "jet" is the paper's: red high, blue low. "cividis" reads alike with any colour vision.
HEAT_PALETTES = {"jet": cv2.COLORMAP_JET, "cividis": cv2.COLORMAP_CIVIDIS}


def heat_palette(name: str = "jet") -> np.ndarray:
    """The colours from 0 to the maximum: ``(256, 3)``, RGB, uint8."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, HEAT_PALETTES[name])[0, :, ::-1])


def token_palette(num_tokens: int) -> np.ndarray:
    """One colour a token: ``(num_tokens, 3)``, RGB, uint8."""
    if num_tokens <= 20:
        # tab20 pairs strong colours with pale ones: the ten strong ones come first.
        order = [*range(0, 20, 2), *range(1, 20, 2)]
        colors = np.array(matplotlib.colormaps["tab20"].colors)[order][:num_tokens]
    else:
        # Hues a golden angle apart, in three lightnesses.
        numbers = np.arange(num_tokens)
        hsv = np.stack(
            (numbers * 0.618034 % 1, 0.85 - 0.25 * (numbers % 2), 1 - 0.22 * (numbers % 3)), axis=-1
        )
        colors = matplotlib.colors.hsv_to_rgb(hsv)
    return np.round(255 * colors).astype(np.uint8)


def color_range(values: np.ndarray, *, as_shares: bool) -> tuple[float, float]:
    """The values of the lowest and the highest colour of one map.

    Attention runs from 0 to its maximum. Shares are all close to even, and their differences
    count: they run from their minimum to their maximum, or to a percentage point more than the
    minimum, so that rounding errors are not painted as a pattern.
    """
    if as_shares:
        low = float(values.min())
        return low, max(float(values.max()), low + 0.01)
    return 0.0, max(float(values.max()), 1e-6)


def color_steps(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Values between the two ends as 0 to 255, uint8."""
    low, high = ends
    return np.round(255 * (values - low) / (high - low)).astype(np.uint8)


def blend(image_rgb: np.ndarray, colors: np.ndarray, opacity: float) -> np.ndarray:
    """``colors`` over the image, both ``(H, W, 3)``, RGB, uint8."""
    mixed = (1 - opacity) * image_rgb.astype(np.float32) + opacity * colors
    return np.round(mixed).astype(np.uint8)


def grey_picture(picture_rgb: np.ndarray) -> np.ndarray:
    """Without colours, which would mix with those laid over it; still ``(H, W, 3)``."""
    return cv2.cvtColor(cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
