"""Label maps drawn over their images, and the legend of their colours."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from vt_seg.data import distinct_colors

from .panels import MAX_SIDE

# Segments below this share of the picture get no outline and no name.
_MIN_SEGMENT = 0.0015
_LEGEND_ROW, _LEGEND_WIDTH = 24, 280
_ALPHA = 0.6
_MIN_SHORT_SIDE = 480
_MAX_UPSAMPLED = 8_000  # pixels, the longest side up to which narrow images are upsampled


def color_sem_seg(image_rgb: np.ndarray, labels: np.ndarray, metadata: Metadata) -> np.ndarray:
    """Blend the class colours over an image ``(H, W, 3)`` at its size, without names: in no time.

    Arguments are those of `draw_sem_seg`.
    """
    undrawn = _undrawn(labels, metadata)
    colors = np.asarray(_with_colors(metadata).stuff_colors, np.uint8)[np.where(undrawn, 0, labels)]
    blended = cv2.addWeighted(image_rgb, 1 - _ALPHA, colors, _ALPHA, 0)
    return np.where(undrawn[:, :, None], image_rgb, blended)


def draw_sem_seg(
    image_rgb: np.ndarray, labels: np.ndarray | None, metadata: Metadata, *, alpha: float = _ALPHA
) -> np.ndarray:
    """Blend the class colours over an image and write the class names on the segments.

    Images whose shorter side is below 480 pixels are upsampled to that, as the names would hide
    them; very long ones less.

    Args:
        image_rgb: ``(H, W, 3)``, uint8; so is the picture, in the same aspect ratio. It is shrunk
            where a side is longer than files of pictures may have.
        labels: Label map ``(H, W)``. ``metadata.ignore_label`` and indices without a class are left
            undrawn. None draws the image alone, at the same size.
        metadata: ``stuff_classes``; ``stuff_colors`` (RGB) and ``ignore_label`` where they exist.
        alpha: 0 shows the image only, 1 the colours only.

    Raises:
        ValueError: If image and labels differ in size.
    """
    if labels is None:
        labels = np.full(image_rgb.shape[:2], -1)
    if image_rgb.shape[:2] != labels.shape:
        raise ValueError(f"image is {image_rgb.shape[:2]}, labels are {labels.shape}")
    # OpenCV resizes no int64, hence uint16; the Visualizer skips indices without a class.
    no_class = len(metadata.stuff_classes)
    labels = np.where(_undrawn(labels, metadata), no_class, labels).astype(np.uint16)

    height, width = labels.shape
    upsampling = min(_MIN_SHORT_SIDE / min(height, width), _MAX_UPSAMPLED / max(height, width))
    scale = min(max(1.0, upsampling), MAX_SIDE / max(height, width))
    if scale != 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        image_rgb = cv2.resize(image_rgb, size, interpolation=interpolation)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)

    # Matplotlib would read what is between two of them as a formula.
    names = [name.replace("$", r"\$") for name in metadata.stuff_classes]
    colors = _with_colors(metadata).stuff_colors
    visualizer = Visualizer(image_rgb, Metadata(stuff_classes=names, stuff_colors=colors))
    drawn = visualizer.draw_sem_seg(
        labels.astype(np.int64),  # the Visualizer negates labels
        area_threshold=int(_MIN_SEGMENT * labels.size),
        alpha=alpha,
    )
    return np.ascontiguousarray(drawn.get_image())


def _undrawn(labels: np.ndarray, metadata: Metadata) -> np.ndarray:
    """Return where labels are ignored or no class."""
    is_class = (labels >= 0) & (labels < len(metadata.stuff_classes))
    return ~is_class | (labels == metadata.get("ignore_label"))


def _with_colors(metadata: Metadata) -> Metadata:
    """Return the metadata, or its classes with colours where it has none."""
    if metadata.get("stuff_colors"):
        return metadata
    colors = distinct_colors(len(metadata.stuff_classes))
    return Metadata(stuff_classes=metadata.stuff_classes, stuff_colors=colors)


def draw_legend(labels: Sequence[np.ndarray], metadata: Metadata, height: int) -> np.ndarray:
    """Draw a column of colours, class names and shares of the pixels, the largest share first.

    Labels that are no class are "ignored". Classes for which there is no room are counted in the
    last row. The result is ``(height, 280, 3)``, RGB, uint8.
    """
    legend = np.full((height, _LEGEND_WIDTH, 3), 255, np.uint8)
    rows = class_shares(labels, len(metadata.stuff_classes))
    room = max(1, height // _LEGEND_ROW)
    shown = rows if len(rows) <= room else rows[: room - 1]
    names, colors = metadata.stuff_classes, _with_colors(metadata).stuff_colors
    texts = []
    for number, (label, share) in enumerate(shown):
        top, bottom = number * _LEGEND_ROW + 3, (number + 1) * _LEGEND_ROW - 3
        legend[top:bottom, 4:28] = (255, 255, 255) if label < 0 else colors[label]
        cv2.rectangle(legend, (4, top), (27, bottom - 1), (0, 0, 0), 1)
        texts.append(f"{100 * share:5.1f} %  {'ignored' if label < 0 else names[label]}")
    if len(rows) > len(shown):
        texts.append(f"and {len(rows) - len(shown)} more")
    for number, text in enumerate(texts):
        place = (36, number * _LEGEND_ROW + 17)
        cv2.putText(legend, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return legend


def class_shares(labels: Sequence[np.ndarray], num_classes: int) -> list[tuple[int, float]]:
    """Return (class, share of all pixels), the largest first; class -1 is what is no class."""
    counts = np.zeros(num_classes + 1, np.int64)
    for one in labels:
        known = np.where((one >= 0) & (one < num_classes), one, num_classes).astype(np.int64)
        counts += np.bincount(known.ravel(), minlength=num_classes + 1)
    order = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
    total = counts.sum()
    return [(-1 if i == num_classes else int(i), float(counts[i] / total)) for i in order]
