"""Reads one image and its mask as training would, and says what is wrong with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from vt_seg.data import LABEL_MAP, LARGEST_VALUE, Finding, ImageReader, inspect_image, read_mask


@dataclass
class PairReport:
    """What was found in one record; None or "" stands for what cannot be read."""

    image_size: tuple[int, int] | None = None  # (height, width), upright
    mask_file: str = ""
    mask_mode: str = ""  # as Pillow names it
    pixels: np.ndarray | None = None  # (256,) int64, the mask's pixels of each label
    mapped_values: tuple[int, ...] = ()  # if a label map applies, the values of the file
    findings: list[Finding] = field(default_factory=list)


def check_pair(record: dict, images: ImageReader | None = None) -> PairReport:
    """Decode the image and the mask of one of Detectron2's records in full.

    ``images`` reads the image, None as 8-bit colours.
    """
    images = images or ImageReader()
    image_file, mask_file = record["file_name"], record.get("sem_seg_file_name", "")
    report = PairReport(mask_file=mask_file)
    image = _read(images, image_file, "image", report.findings)
    if image is not None:
        report.image_size = image.shape[:2]
    if not mask_file:
        message = f"{image_file} has no sem_seg_file_name: its record names no mask"
        report.findings.append(Finding.error("no mask in record", message, file=image_file))
        return report
    label_map = record.get(LABEL_MAP)
    most = 255 if label_map is None else LARGEST_VALUE
    values = mask = _read(lambda path: read_mask(path, most), mask_file, "mask", report.findings)
    if values is not None and label_map is not None:
        report.mapped_values = tuple(np.unique(values).tolist())
        apply = partial(label_map.apply, values)
        mask = _read(apply, mask_file, "mask", report.findings)
    if mask is None:
        return report
    mask_content, mask_orientation = inspect_image(mask_file)
    report.mask_mode = mask_content.image.mode
    report.pixels = np.bincount(mask.ravel(), minlength=256)
    if image is not None:
        content, orientation = None, 1
        if images.reads_colors:
            content, orientation = inspect_image(image_file)
        if content and content.num_images > 1 and content.image.format == "MPO":
            message = (
                f"{image_file} holds {content.num_images} pictures (MPO): the first, which it "
                "marks as the primary, is read; save another one as JPEG if that is meant"
            )
            report.findings.append(Finding.warning("several images", message, file=image_file))
        orientations = orientation, mask_orientation
        sizes = image.shape[:2], mask.shape[:2]
        report.findings += _compare(image_file, mask_file, sizes, orientations)
    return report


def _read(
    reader: Callable[[str], np.ndarray], path: str, kind: str, findings: list[Finding]
) -> np.ndarray | None:
    try:
        return reader(path)
    except (ImportError, OSError, ValueError) as wrong:
        message = str(wrong)
    except Exception as wrong:  # A file that no reader foresaw must not end the whole check.
        message = f"{path} cannot be read ({type(wrong).__name__}: {wrong}); make it again"
    findings.append(Finding.error(f"unusable {kind}", message, file=path))
    return None


def _compare(
    image_file: str,
    mask_file: str,
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    orientations: tuple[int, int],
) -> list[Finding]:
    """Compare the sizes (height, width) and EXIF orientations of an image and its mask."""
    is_rotated = orientations[0] != orientations[1]
    exif = " and ".join(
        f"{kind} EXIF orientation {orientation}" if orientation != 1 else f"{kind} has none"
        for kind, orientation in zip(("image", "mask"), orientations, strict=True)
    )
    if sizes[0] == sizes[1]:
        message = (
            f"{image_file}: {exif} ({mask_file}); the image is rotated upright when it is read: "
            "look whether the mask fits, then store both upright without EXIF"
        )
        return [Finding.warning("EXIF orientation", message, file=image_file)] if is_rotated else []
    (height, width), (mask_height, mask_width) = sizes
    if is_rotated:
        fix = f"{exif}; store both upright, the mask rotated as the image is shown, without EXIF"
    elif (height, width) == (mask_width, mask_height):
        fix = "rows and columns are exchanged; transpose the mask"
    else:
        fix = "does the mask belong to it, was one of them resized or cropped? Make them one size"
    message = f"{image_file}: image {width}x{height}, mask {mask_width}x{mask_height}"
    return [Finding.error("size mismatch", f"{message} ({mask_file}): {fix}", file=image_file)]
