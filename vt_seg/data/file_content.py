"""What an image file holds, judged by its bytes before a decoder makes pixels of them.

A decoder brings 16 bits to 8, takes the first of several pages and rescales grey of few bits
without a word, and names every other file "truncated".
"""

import codecs
import io
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

EXIF_ORIENTATION = 0x0112

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0")
_STARTS = (_PNG, b"\xff\xd8\xff", b"BM", b"GIF8", *_TIFF)
_KEYS = "INPUT.IN_CHANNELS and INPUT.DTYPE"
_CONVERT, _UNPACK = "convert it to PNG", "unpack it and name what it holds"
# Offset, bytes at it, what a file with them is, and what to do.
_OTHER_FILES = (
    (0, b"version https://git-lfs", "a Git LFS pointer in place of the file", "run git lfs pull"),
    (0, b"\0\5\x16\7", "an AppleDouble file of macOS, which holds no pixels", "delete it"),
    (0, b"\x89PNG", "a PNG that a transfer as text has altered", "fetch it again as binary data"),
    (0, b"MM\0+", "a big-endian BigTIFF", "save it as TIFF or PNG"),
    (0, b"\xff\x0a", "a JPEG XL image", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", _CONVERT),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", _CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", _CONVERT),
    (0, b"8BPS", "a Photoshop document", _CONVERT),
    (0, b"v/1\1", "an OpenEXR image", _CONVERT),
    (0, b"#?RADIANCE", "a Radiance HDR image", _CONVERT),
    (0, b"SIMPLE  =", "a FITS image", _CONVERT),
    (128, b"DICM", "a DICOM file", _CONVERT),
    (0, b"%PDF", "a PDF document", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", f"{_CONVERT}, or for images set {_KEYS}"),
    (0, b"\x89HDF", "an HDF5 file", _CONVERT),
    (0, b"MATLAB 5.0", "a MATLAB file", _CONVERT),
    (0, b"PK\3\4", "a ZIP archive", _UNPACK),
    (0, b"\x1f\x8b", "a gzip archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (8, b"AVI ", "a video", "extract its frames as PNG"),
    (0, b"\x1aE\xdf\xa3", "a video", "extract its frames as PNG"),
    (0, b"\0\0\1\xba", "a video", "extract its frames as PNG"),
)
_HEIC = (b"hei", b"hev", b"mif1", b"msf1")  # brands of the ISO container
_WITH_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _EXTRA, _NUMBERS = 258, 259, 262, 277, 338, 339
_SUBFILE = 254  # Bit 0 marks a smaller copy of another page, bit 2 its transparency mask.
_SUB_PAGES = 330
_TAGS = (_SUBFILE, _SUB_PAGES, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _EXTRA, _NUMBERS)
_LOSSY = frozenset({6, 7, 33003, 33005, 34712, 34892, 50001, 50002})  # JPEG, JPEG 2000, WebP, XL
_PRIMARY = "Baseline MP Primary Image"  # of a JPEG with further, dependent pictures

# Pillow calls larger texts an error. The other limits, which count pixels, stay.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20


class ImageContent(NamedTuple):
    """A file that holds one image, or several of which one is marked as the primary."""

    image: Image.Image  # Opened, not decoded.
    bits: int = 8  # of a pixel and channel
    numbers: str = "unsigned"
    channels: int = 0  # 0 where Pillow's mode tells
    num_images: int = 1
    mask_fault: str = ""  # why decoded values need not be the class ids that were saved


def open_image(path: str | os.PathLike, content: bytes) -> ImageContent:
    """Return what the bytes of a file hold, without decoding pixels.

    Raises:
        ValueError: if they are no image of a format that is read, hold several images, or more
            pixels than Pillow's limit, or the header is damaged; names the file and the fix.
    """
    is_image = content.startswith(_STARTS) or (content[:4], content[8:12]) == (b"RIFF", b"WEBP")
    if not is_image or _is_text(content[:512]):
        what, fix = _other_content(content)
        raise ValueError(f"{path} is {what}: {fix}")
    found = ImageContent(Image.Image())
    try:
        if content.startswith(_TIFF):
            found = _judge_tiff(list(_tiff_pages(content)))
        elif content.startswith(_PNG):
            content = _checked_png(content)
            found = found._replace(bits=ord(content[24:25] or b"\0"))
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
        count = found.num_images if image.format == "TIFF" else getattr(image, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large ({error}): cut it into tiles") from error
    except Exception as error:  # Pillow's parsers raise any kind for damaged files.
        if found.channels:
            raise ValueError(
                f"{path} is a TIFF of {found.channels} channels of {found.bits} bits, "
                f"{found.numbers}, which cannot be read: {_CONVERT} of 8 bits, or for images set "
                f"{_KEYS}"
            ) from error
        raise damaged(path, error) from error
    if count > 1 and not _has_primary(image):
        what = "an animation" if image.format in ("GIF", "PNG", "WEBP") else "several images"
        raise ValueError(
            f"{path} holds {what}, {count} of them in one file: save the one that is meant, or "
            "each, as a file of its own"
        )
    return found._replace(image=image, num_images=count, mask_fault=_mask_fault(image, found))


def damaged(path: str | os.PathLike, error: Exception) -> ValueError:
    """Return the error for an image whose decoding failed."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if "cannot identify image file" in reason:  # Pillow names an address in memory.
        reason = "its header cannot be read"
    return ValueError(f"{path} is truncated or damaged ({reason}): fetch or make it again")


def _other_content(content: bytes) -> tuple[str, str]:
    """Return what a file without a known image is, and what to do."""
    again = "fetch or make it again"
    if not content:
        return "empty (0 bytes)", again
    if not content.strip(b"\0"):
        return f"not an image but {len(content)} zero bytes", again
    for offset, start, what, fix in _OTHER_FILES:
        if content[offset:].startswith(start):
            return what, fix
    if content[4:8] == b"ftyp":
        brands = content[8:64]
        if b"avif" in brands or b"avis" in brands:
            return "an AVIF image", "convert it to PNG or JPEG"
        if any(brand in brands for brand in _HEIC):
            return "a HEIC image, as iPhones write them", "convert it to PNG or JPEG"
        return "a video", "extract its frames as PNG"
    if content[:1] == b"P" and content[1:2].isdigit() and content[2:3].isspace():
        return "a Netpbm image", _CONVERT
    if not _is_text(content[:512]):
        begin = content[:8].hex(" ")
        return f"not an image (it begins with the bytes {begin})", "give PNG, JPEG, WebP or TIFF"
    text = content[:4096].decode("utf-8", "replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML), not an image", "the download failed or needs a login; " + again
    if "annex/objects" in text:
        return "a git-annex pointer in place of the file", "run git annex get"
    if text.startswith(("<?xml", "<svg")) and "<svg" in text:
        return "an SVG drawing", _CONVERT
    return f"text, not an image (it begins with {text[:20]!r})", again


def _is_text(content: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(content)  # It may end anywhere.
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c in "\t\r\n\f" for c in text)


def _checked_png(content: bytes) -> bytes:
    """Return a PNG without colour profile and texts, which are not used and may be huge.

    Texts that may hold the EXIF orientation stay. Pixels are checked, as Pillow does not do it.
    """
    kept, start, position = [], 0, len(_PNG)
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + length + 12
        if kind == b"IDAT" and end <= len(content):
            checksum = zlib.crc32(memoryview(content)[position + 4 : end - 4])
            if checksum != int.from_bytes(content[end - 4 : end], "big"):
                raise ValueError("the checksum of its pixels is wrong")
        if kind in (b"iCCP", b"tEXt", b"zTXt", b"iTXt") and not content.startswith(
            _WITH_ORIENTATION, position + 8
        ):
            kept.append(content[start:position])
            start = end
        position = end
    return b"".join((*kept, content[start:])) if kept else content


def _tiff_pages(content: bytes) -> Iterator[Mapping]:
    """Yield the tags of each page, in TIFF and BigTIFF, also of kinds that Pillow cannot open."""
    file = io.BytesIO(content)
    header = file.read(8)
    directory = ImageFileDirectory_v2(header + (file.read(8) if b"+" in header[:4] else b""))
    visited: set[int] = set()
    while directory.next and directory.next not in visited:
        visited.add(directory.next)
        file.seek(directory.next)
        directory.load(file)
        yield {tag: directory[tag] for tag in _TAGS if tag in directory}


def _judge_tiff(pages: list[Mapping]) -> ImageContent:
    if not pages:
        raise EOFError("it has no page")
    first = pages[0]
    bits, photometric = max(first.get(_BITS, (1,))), first.get(_PHOTOMETRIC, 1)
    channels = first.get(_SAMPLES, 1)
    numbers = {1: "unsigned", 2: "signed", 3: "floating point"}
    kind = numbers.get(max(first.get(_NUMBERS, (1,))), "of another kind")
    if photometric == 2 and (channels > 4 or 0 in first.get(_EXTRA, ())):
        kind += ", more than red, green and blue"
    fault = ""
    if first.get(_COMPRESSION) in _LOSSY:
        fault = "is compressed in a way that alters class ids"
    elif bits < 8 and photometric < 2:
        fault = _few_bits("TIFF", bits)
    elif photometric == 0:
        fault = "stores its values inverted (0 is white), about which readers disagree"
    elif photometric in (1, 3) and channels > 1:
        fault = f"has {channels} channels, need one"
    # Overviews are copies of the first page. In a camera's raw file, the first is the preview.
    count = 1 + sum(not page.get(_SUBFILE, 0) & 5 for page in pages[1:])
    count += bool(first.get(_SUBFILE, 0) & 1 and _SUB_PAGES in first)
    return ImageContent(Image.Image(), bits, kind, channels if _BITS in first else 0, count, fault)


def _few_bits(format: str, bits: int) -> str:
    return f"is a grey {format} of {bits} bits, whose values readers rescale to 0..255"


def _has_primary(image: Image.Image) -> bool:
    """Return True for a JPEG that marks its first picture as the one that the others belong to."""
    entries = getattr(image, "mpinfo", {}).get(0xB002, [{}])
    kinds = [entry.get("Attribute", {}).get("MPType", "") for entry in entries]
    return kinds[0] == _PRIMARY and not any("Multi-Frame" in kind for kind in kinds)


def _mask_fault(image: Image.Image, found: ImageContent) -> str:
    if image.format in ("JPEG", "MPO"):
        return "is a JPEG, whose compression alters class ids"
    if image.format == "PNG" and image.mode in ("L", "1") and found.bits in (2, 4):
        return _few_bits("PNG", found.bits)
    tiles = getattr(image, "tile", ())
    if image.format == "GIF" and tiles and tiles[0][1] != (0, 0, *image.size):
        return "is a GIF whose picture covers only a part of its area"
    return found.mask_fault
