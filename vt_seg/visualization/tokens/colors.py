"""Colours of attention maps, and a colour for each token."""

import cv2
import matplotlib
import numpy as np

# The paper uses "jet": red is high, blue is low. "cividis" looks alike with any colour vision.
HEAT_PALETTES = {"jet": cv2.COLORMAP_JET, "cividis": cv2.COLORMAP_CIVIDIS}


def heat_palette(name: str = "jet") -> np.ndarray:
    """Return the colours from low to high: ``(256, 3)``, RGB, uint8."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, HEAT_PALETTES[name])[0, :, ::-1])


def token_palette(num_tokens: int) -> np.ndarray:
    """Return a different colour for each token: ``(num_tokens, 3)``, RGB, uint8."""
    if num_tokens <= 20:
        # tab20 pairs ten strong colours with pale ones; the strong ones come first here.
        order = [*range(0, 20, 2), *range(1, 20, 2)]
        colors = matplotlib.colormaps["tab20"](order[:num_tokens])[:, :3]
    else:
        # Hues a golden angle apart, in three lightnesses.
        numbers = np.arange(num_tokens)
        hsv = (numbers * 0.618034 % 1, 0.85 - 0.25 * (numbers % 2), 1 - 0.22 * (numbers % 3))
        colors = matplotlib.colors.hsv_to_rgb(np.stack(hsv, axis=-1))
    return np.round(255 * colors).astype(np.uint8)


def color_range(values: np.ndarray, *, as_shares: bool) -> tuple[float, float]:
    """Return the values of the lowest and the highest colour of one map.

    Attention runs from 0 to its maximum. Shares are all close to uniform, and their differences
    matter: they run from their minimum to their maximum, or to one percentage point above the
    minimum, so that rounding errors do not look like a pattern.
    """
    if as_shares:
        low = float(values.min())
        return low, max(float(values.max()), low + 0.01)
    return 0.0, max(float(values.max()), 1e-6)


def color_steps(values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Map values between the two ends to 0..255, uint8."""
    low, high = ends
    return np.round(255 * (values - low) / (high - low)).astype(np.uint8)


def blend(image_rgb: np.ndarray, colors: np.ndarray, opacity: float) -> np.ndarray:
    """Lay ``colors`` over the image, both ``(H, W, 3)``, RGB, uint8."""
    mixed = (1 - opacity) * image_rgb.astype(np.float32) + opacity * colors
    return np.round(mixed).astype(np.uint8)


def grey_picture(picture_rgb: np.ndarray) -> np.ndarray:
    """Remove the colours, which would mix with those laid over them; still ``(H, W, 3)``."""
    return cv2.cvtColor(cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
