"""Masks and images: of all kinds that encoders write, cut off, and damaged."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.data.image_files import write_grey_png, write_png
from vt_seg.data.readers import read_image, read_mask

from .outcomes import Refused, damaged, generated, outcome

LOSSLESS = {"PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "GIF": ".gif", "WEBP": ".webp"}
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
LABELS = st.integers(0, 255)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def array(size, values, dtype=np.uint8, channels=()):
    """An array of the size, filled with the values in turn."""
    return np.resize(np.array(values, dtype), (*size, *channels))


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@generated(80)
@given(
    size=SIZES,
    values=st.lists(LABELS, min_size=1, max_size=8),
    format=st.sampled_from(["PNG", "TIFF", "BMP", "GIF"]),
    palette=st.booleans(),
    orientation=st.integers(0, 9),
    extension=st.sampled_from([".png", ".jpg", ".tif"]),
)
def test_masks_give_the_labels_that_were_saved(
    folder, size, values, format, palette, orientation, extension
):
    labels = array(size, values)
    path = folder / f"mask{extension}"  # What it holds counts, not its name.
    palette |= format == "GIF"
    if format == "PNG":
        write_png(folder / "x.png", labels, palette, orientation)
        path.write_bytes((folder / "x.png").read_bytes())
    else:
        orientation = 1
        image = Image.fromarray(labels)
        if palette:
            image = Image.fromarray(labels, "P")
            image.putpalette([(37 * i) % 256 for i in range(768)])
        # GIF's encoder sorts the palette, unless it is told not to.
        path.write_bytes(encoded(image, format, optimize=False))
    turned = Image.fromarray(labels)
    method = TURNS.get(orientation)
    np.testing.assert_array_equal(
        outcome(lambda: read_mask(path), path),
        np.asarray(turned if method is None else turned.transpose(method)),
    )


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def deep(dtype):
    return lambda a: Image.fromarray(a.astype(dtype) * (257 if dtype != np.int32 else 70_000))


# Pictures that are no masks with 8 bits; the array has values from 1.
UNFIT = {
    "RGB": lambda a: encoded(Image.fromarray(np.stack([a, a, a], 2)), "PNG"),
    "RGBA": lambda a: encoded(Image.fromarray(np.stack([a, a, a, a], 2)), "PNG"),
    "LA": lambda a: encoded(Image.fromarray(np.stack([a, a], 2)), "PNG"),
    "RGB tif": lambda a: encoded(Image.fromarray(np.stack([a, a, a], 2)), "TIFF"),
    "RGB bmp": lambda a: encoded(Image.fromarray(np.stack([a, a, a], 2)), "BMP"),
    "RGB webp": lambda a: encoded(Image.fromarray(np.stack([a, a, a], 2)), "WEBP", lossless=True),
    "1": lambda a: encoded(Image.fromarray(a > 9), "PNG"),
    "JPEG": lambda a: encoded(Image.fromarray(a), "JPEG"),
    "16": lambda a: encoded(deep(np.uint16)(a), "PNG"),
    "16 tif": lambda a: encoded(deep(np.uint16)(a), "TIFF"),
    "32 tif": lambda a: encoded(deep(np.int32)(a), "TIFF"),
    "float": lambda a: encoded(Image.fromarray(a.astype(np.float32)), "TIFF"),
    "LFS": lambda a: b"version https://git-lfs.github.com/spec/v1\noid sha256:" + bytes(a),
    "HTML": lambda a: b"\n <!DOCTYPE html><html>" + bytes(a),
    "npy": lambda a: b"\x93NUMPY\1\0" + bytes(a),
    "zip": lambda a: b"PK\3\4" + bytes(a),
    "zeros": lambda a: bytes(len(a)),
    "nothing": lambda a: b"",
    "bytes": lambda a: bytes(a),
    "two": lambda a: encoded(
        Image.fromarray(a), "TIFF", save_all=True, append_images=[Image.fromarray(a)]
    ),
}


@generated(80)
@given(size=SIZES, values=st.lists(st.integers(1, 255), min_size=1), kind=st.sampled_from([*UNFIT]))
def test_what_is_no_mask_is_refused(folder, size, values, kind):
    path = folder / "unfit.png"
    path.write_bytes(UNFIT[kind](array(size, values)))
    assert isinstance(outcome(lambda: read_mask(path), path), Refused)


@generated(40)
@given(size=SIZES, values=st.lists(LABELS, min_size=1), bits=st.sampled_from([2, 4]))
def test_masks_of_few_bits_are_refused(folder, size, values, bits):
    path = write_grey_png(folder / "few.png", array(size, values) % 2**bits, bits)
    assert isinstance(outcome(lambda: read_mask(path), path), Refused)


@generated(80)
@given(
    size=SIZES,
    values=st.lists(LABELS, min_size=3),
    format=st.sampled_from([*LOSSLESS]),
    mode=st.sampled_from(["RGB", "L"]),
    order=st.sampled_from(["BGR", "RGB"]),
    rest=st.binary(max_size=40),
)
def test_images_give_the_colours_that_were_saved(folder, size, values, format, mode, order, rest):
    """Bytes behind the end, as some writers leave them, change nothing."""
    pixels = array(size, values, channels=(3,))
    image = Image.fromarray(pixels)
    if mode == "L" or format == "GIF":
        image = image.convert("L")
        pixels = np.stack([np.asarray(image)] * 3, 2)
    path = folder / "image.jpg"
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    path.write_bytes(encoded(image, format, **options) + rest)
    expected = pixels if order == "RGB" else pixels[..., ::-1]
    np.testing.assert_array_equal(outcome(lambda: read_image(path, order), path), expected)


WHOLE = array((40, 30), range(1, 251))
COLOURS = np.stack([WHOLE, WHOLE.T.reshape(40, 30), 255 - WHOLE], 2)
WHOLE_FILES = {
    **{name: encoded(Image.fromarray(WHOLE), name) for name in ("PNG", "TIFF", "BMP", "GIF")},
    "deflate": encoded(Image.fromarray(WHOLE), "TIFF", compression="tiff_adobe_deflate"),
    "lzw": encoded(Image.fromarray(WHOLE), "TIFF", compression="tiff_lzw"),
    "JPEG": encoded(Image.fromarray(COLOURS), "JPEG"),
    "progressive": encoded(Image.fromarray(COLOURS), "JPEG", progressive=True),
    "WEBP": encoded(Image.fromarray(COLOURS), "WEBP"),
    "RGB": encoded(Image.fromarray(COLOURS), "PNG"),
    "RGB tif": encoded(Image.fromarray(COLOURS), "TIFF"),
}


@generated(100)
@given(kind=st.sampled_from([*WHOLE_FILES]), kept=st.floats(0, 1, exclude_max=True))
def test_files_that_are_cut_off_are_refused_unless_all_pixels_are_there(folder, kind, kept):
    whole, path = WHOLE_FILES[kind], folder / "cut.png"
    path.write_bytes(whole)
    expected = {
        read: outcome(lambda read=read: read(path), path) for read in (read_image, read_mask)
    }
    path.write_bytes(whole[: int(kept * len(whole))])
    for read, before in expected.items():
        got = outcome(lambda read=read: read(path), path)
        if not isinstance(got, Refused):
            np.testing.assert_array_equal(got, before)


SEVERAL = {"save_all": True, "append_images": [Image.fromarray(COLOURS[::-1])]}
FRAMES = [encoded(Image.fromarray(COLOURS), name, **SEVERAL) for name in ("GIF", "PNG", "TIFF")]
PIECES = [b"", b"\0", b"\xff", b"\x01", b"\0\0\0\1", b"\xff\xff\xff\xff", b"IDAT", b"\xff\xd9"]
PIECES += [b"tRNS", b"\x80", b"eXIf", b"acTL", b"\x7f\xff\xff\xff", b"\2"]


@generated(200)
@given(content=damaged([*WHOLE_FILES.values(), *FRAMES], PIECES))
def test_damaged_files_are_read_or_refused(folder, content):
    path = folder / "damaged.png"
    path.write_bytes(content)
    for read, dims in ((read_image, 3), (read_mask, 2)):
        got = outcome(lambda read=read: read(path), path)
        assert isinstance(got, Refused) or (got.dtype == np.uint8 and got.ndim == dims)


@generated(60)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_png_changes_no_label_silently(folder, place, bit):
    """Its chunks have checksums."""
    content = bytearray(WHOLE_FILES["PNG"])
    content[int(place * len(content))] ^= 1 << bit
    path = folder / "flipped.png"
    path.write_bytes(content)
    got = outcome(lambda: read_mask(path), path)
    if not isinstance(got, Refused):
        np.testing.assert_array_equal(got, WHOLE)
