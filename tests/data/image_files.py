"""Small real files for the tests of vt_seg.data."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112


def write_png(path: Path, array: np.ndarray, palette: bool = False, orientation: int = 1) -> str:
    """Grey, palette (indices kept, colours unlike them) or RGB, by the array and ``palette``."""
    image = _with_palette(array) if palette else Image.fromarray(np.ascontiguousarray(array))
    exif = Image.Exif()
    if orientation != 1:
        exif[EXIF_ORIENTATION] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return str(path)


def _with_palette(array: np.ndarray) -> Image.Image:
    image = Image.new("P", array.shape[::-1])
    # Index i is shown in a colour whose luminance is not i.
    image.putpalette([(37 * i + channel * 91) % 256 for i in range(256) for channel in range(3)])
    image.frombytes(array.tobytes())
    return image


def gradient(height: int, width: int) -> np.ndarray:
    """An RGB image in which no two pixels are alike, (height, width, 3) uint8."""
    ys, xs = np.mgrid[:height, :width]
    return np.stack([ys, xs, 7 * ys + 3 * xs], 2).astype(np.uint8)


def write_grey_png(path: Path, labels: np.ndarray, bits: int) -> Path:
    """A grey PNG of fewer than 8 bits a pixel, which neither Pillow nor OpenCV writes."""
    rows = np.unpackbits(labels.astype(np.uint8)[..., None], axis=-1)[..., -bits:]
    packed = np.packbits(rows.reshape(len(labels), -1), axis=1)
    lines = np.pad(packed, ((0, 0), (1, 0)))  # each begins with the filter type, none
    header = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], bits, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
    )
    return path
