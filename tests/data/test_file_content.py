"""A file is judged by what it holds, alike for images and masks, before a decoder sees it."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.MpoImagePlugin import MpoImageFile
from torchvision.transforms import v2

from vt_seg.data import ClassificationMapper, inspect_image, read_image, read_mask
from vt_seg.data_checks.pair_check import check_pair
from vt_seg.visualization import draw_each

from .image_files import gradient, write_png

RGB = gradient(6, 7)
LABELS = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


def encoded(array, format, **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(array, bits, colour_type, channels, extra=b""):
    """A PNG of any depth: array (H, W * channels) in big-endian order."""
    header = struct.pack(
        ">IIBBBBB", array.shape[1] // channels, len(array), bits, colour_type, 0, 0, 0
    )
    lines = b"".join(b"\0" + row.tobytes() for row in array)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def tiff(array, *, tags=(), order="<", photometric=None, bits=None):
    """One page, uncompressed; ``tags`` are more of (tag, value)."""
    height, width, channels = (*array.shape, 1)[:3]
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    values = {256: width, 257: height, 258: bits or array.dtype.itemsize * 8, 259: 1}
    values |= {262: photometric if photometric is not None else (2 if channels > 1 else 1)}
    values |= {273: 8, 277: channels, 278: height, 279: len(data)}
    values |= {339: {"u": 1, "i": 2, "f": 3}[array.dtype.kind]} | dict(tags)
    entries, more = b"", b""
    after = 8 + len(data) + 2 + 12 * len(values) + 4
    for tag, value in sorted(values.items()):
        many = channels if tag in (258, 339) else 1
        packed = struct.pack(order + "H" * many, *[value] * many)
        if len(packed) > 4:
            packed, more = struct.pack(order + "I", after + len(more)), more + packed
        kind = 4 if tag in (273, 279) else 3
        packed = struct.pack(order + "I", value) if kind == 4 else packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, many) + packed
    start = b"II*\0" if order == "<" else b"MM\0*"
    start += struct.pack(order + "I", 8 + len(data))
    return start + data + struct.pack(order + "H", len(values)) + entries + b"\0" * 4 + more


DEEP = np.arange(24, dtype=">u2").reshape(2, 12) * 170
WIDE = np.arange(24, dtype=np.uint16).reshape(2, 4, 3) * 170
DEEP_IMAGES = {
    "grey PNG": (png(DEEP, 16, 0, 1), "16-bit unsigned"),
    "RGB PNG": (png(DEEP, 16, 2, 3), "16-bit unsigned"),
    "RGBA PNG": (png(DEEP, 16, 6, 4), "16-bit unsigned"),
    "grey and alpha PNG": (png(DEEP, 16, 4, 2), "16-bit unsigned"),
    "RGB TIFF": (tiff(WIDE), "16-bit unsigned"),
    "RGB TIFF, big-endian": (tiff(WIDE, order=">"), "16-bit unsigned"),
    "grey TIFF": (tiff(WIDE[..., 0]), "16-bit unsigned"),
    "float TIFF": (tiff(WIDE[..., 0].astype(np.float32)), "32-bit floating point"),
    "signed TIFF": (tiff(WIDE[..., 0].astype(np.int8)), "8-bit signed"),
    "RGB and infrared TIFF": (
        tiff(np.zeros((2, 3, 4), np.uint8), tags=[(338, 0)]),
        "8-bit unsigned, more than red, green and blue",
    ),
}


@pytest.mark.parametrize("kind", DEEP_IMAGES)
def test_images_of_more_than_8_bits_are_refused_by_their_header(tmp_path, kind):
    content, says = DEEP_IMAGES[kind]
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.png holds {says} channels; .* convert it to 8 bits"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (WIDE.astype(np.float64)[..., 0], "1 channels of 64 bits, floating point"),
        (WIDE.astype(np.float32), "3 channels of 32 bits, floating point"),
        (np.zeros((2, 3, 8), np.uint8), "8 channels of 8 bits"),
    ],
)
def test_tiffs_that_pillow_cannot_open_are_described(tmp_path, array, says):
    (tmp_path / "x.tif").write_bytes(tiff(array))
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=rf"x\.tif is a TIFF of {says}.*8 bits"):
            read(tmp_path / "x.tif")


def frames(count):
    images = [Image.fromarray(np.full((4, 5), 9 * i, np.uint8)) for i in range(count)]
    return images[0], {"save_all": True, "append_images": images[1:]}


SEVERAL = {
    "TIFF": ("TIFF", "several images"),
    "GIF": ("GIF", "an animation"),
    "PNG": ("PNG", "an animation"),
    "WEBP": ("WEBP", "an animation"),
}


@pytest.mark.parametrize("kind", SEVERAL)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_files_of_several_images_are_refused(tmp_path, kind, read):
    format, what = SEVERAL[kind]
    image, options = frames(3)
    image.save(tmp_path / "x.png", format, **options)
    with pytest.raises(ValueError, match=rf"x\.png holds {what}, 3 of them in one file: save the"):
        read(tmp_path / "x.png")
    Image.fromarray(LABELS).save(tmp_path / "one.png", format, save_all=True, lossless=True)
    assert read_image(tmp_path / "one.png").shape == (2, 3, 3)


def test_smaller_copies_in_a_tiff_are_not_further_images(tmp_path):
    """Cloud-optimized GeoTIFFs hold them, marked as copies of the first page."""
    path = tmp_path / "x.tif"
    overview = Image.fromarray(LABELS[:1])
    options = {"save_all": True, "append_images": [overview]}
    overview.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(LABELS).save(path, **options)
    np.testing.assert_array_equal(read_mask(path), LABELS)
    assert (Image.open(path).n_frames, inspect_image(path)[0].num_images) == (2, 1)


@pytest.mark.parametrize(("attribute", "is_read"), [(0x030000, True), (0x020002, False)])
def test_jpegs_with_a_marked_primary_are_read_and_the_validator_says_so(
    tmp_path, attribute, is_read
):
    path = tmp_path / "x.jpg"
    images = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 20)]
    images[0].save(path, "MPO", save_all=True, append_images=images[1:])
    assert isinstance(Image.open(path), MpoImageFile)
    content, primary = path.read_bytes(), struct.pack("<I", 0x030000)
    place = content.rindex(primary, 0, 200)  # the attribute of the first entry in the MP index
    path.write_bytes(content[:place] + struct.pack("<I", attribute) + content[place + 4 :])
    if is_read:
        np.testing.assert_allclose(read_image(path), 200, atol=1)
        (tmp_path / "x.png").write_bytes(encoded(np.zeros((16, 16), np.uint8), "PNG"))
        found = check_pair({"file_name": str(path), "sem_seg_file_name": str(tmp_path / "x.png")})
        (finding,) = found.findings
        assert "x.jpg holds 2 pictures (MPO): the first" in str(finding)
    else:
        with pytest.raises(ValueError, match=r"x\.jpg holds several images, 2 of them"):
            read_image(path)


FOREIGN = {
    "empty": (b"", r"empty \(0 bytes\): fetch"),
    "zeros": (bytes(99), "99 zero bytes: fetch"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s1--0.png\n", "git-annex pointer.*git annex get"),
    "HTML": (b"\n<!DOCTYPE html><title>Sign in</title>", "web page .*needs a login"),
    "HTML after a mark": (b"\xef\xbb\xbf<html>", "web page"),
    "XML": (b'<?xml version="1.0"?><Error/>', "text, not an image"),
    "SVG": (b"<svg xmlns=''/>", "SVG drawing: convert"),
    "text": (b"404: Not Found", "text, not an image .*404: not found"),
    "text like BMP": (b"BM of the year", "text, not an image"),
    "AppleDouble": (b"\0\5\x16\7\0\2\0\0Mac OS X        ", "AppleDouble .*delete it"),
    "HEIC": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC image.*convert"),
    "AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "AVIF image: convert"),
    "JPEG XL": (b"\xff\x0a\x10\xb0", "JPEG XL image: convert"),
    "JPEG XL in a box": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL image: convert"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 image: convert"),
    "MP4": (b"\0\0\0\x18ftypisom\0\0\2\0", "video: extract its frames"),
    "WebM": (b"\x1aE\xdf\xa3\x01\0", "video: extract its frames"),
    "AVI": (b"RIFF\x10\0\0\0AVI LIST", "video: extract its frames"),
    "ZIP": (b"PK\3\4\x14\0", "ZIP archive: unpack"),
    "tar": (bytes(100) + b"1" * 157 + b"ustar\x0000", "tar archive: unpack"),
    "PDF": (b"%PDF-1.7\n", "PDF document"),
    "NumPy": (b"\x93NUMPY\1\0", "NumPy array: convert"),
    "Netpbm": (b"P6\n2 1\n255\n\0\1\2\3\4\5", "Netpbm image: convert"),
    "bytes": (b"\x01\x02\x03\x80\xff", r"not an image \(it begins with the bytes 01 02 03 80 ff\)"),
    "PNG as text": (b"\x89PNG\n\x1a\n\0\0", "PNG that a transfer as text has altered"),
    "cut PNG": (encoded(RGB, "PNG")[:20], "truncated or damaged"),
    "cut TIFF": (encoded(RGB, "TIFF")[:20], "truncated or damaged"),
    "cut GIF": (encoded(LABELS, "GIF")[:9], "truncated or damaged"),
    "cut WebP": (encoded(RGB, "WEBP")[:20], "truncated or damaged"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_is_no_image_is_named_with_the_fix(tmp_path, kind, read):
    content, says = FOREIGN[kind]
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/x\.png is .*{says}"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_formats_are_known_by_content_and_not_by_name(tmp_path, format):
    image = Image.fromarray(RGB // 64 * 64)
    (tmp_path / "x.jpg").write_bytes(encoded(image, format, lossless=True))
    np.testing.assert_array_equal(read_image(tmp_path / "x.jpg", "RGB"), image)
    (tmp_path / "x.png").write_bytes(encoded(RGB, "JPEG"))
    assert read_image(tmp_path / "x.png").shape == RGB.shape
    with pytest.raises(ValueError, match=r"x\.png is a JPEG, whose compression alters class ids"):
        read_mask(tmp_path / "x.png")


def test_gif_masks_give_their_palette_indices(tmp_path):
    image = Image.fromarray(LABELS % 5, "P")
    image.putpalette([200, 10, 10, 10, 200, 10, 0, 0, 0, 255, 255, 255, 7, 7, 7])
    image.save(tmp_path / "m.gif")
    assert Image.open(tmp_path / "m.gif").mode == "P"
    np.testing.assert_array_equal(read_mask(tmp_path / "m.gif"), LABELS % 5)
    # A picture that covers only a part leaves the labels of the rest to the decoder.
    content = (tmp_path / "m.gif").read_bytes()
    (tmp_path / "m.gif").write_bytes(content[:6] + struct.pack("<HH", 5, 5) + content[10:])
    with pytest.raises(ValueError, match=r"m\.gif is a GIF whose picture covers only a part"):
        read_mask(tmp_path / "m.gif")


MASK_FAULTS = {
    "few bits": (tiff(LABELS, bits=4), "grey TIFF of 4 bits"),
    "inverted": (tiff(LABELS, photometric=0), "values inverted"),
    "two channels": (
        tiff(np.zeros((2, 3, 2), np.uint8), photometric=1, tags=[(338, 0)]),
        "has 2 channels",
    ),
    "JPEG in TIFF": (encoded(LABELS, "TIFF", compression="jpeg"), "alters class ids"),
    "negative": (tiff(np.array([[-1, 0]], np.int8)), "8 bits with values -1..0"),
    "RGB of 16 bits": (png(DEEP, 16, 2, 3), "mode RGB, need one channel"),
    "float": (tiff(LABELS.astype(np.float32)), "mode F, need one channel"),
    "grey WebP": (encoded(LABELS, "WEBP", lossless=True), "mode RGB, need one channel"),
}


@pytest.mark.parametrize("kind", MASK_FAULTS)
def test_masks_whose_ids_a_decoder_changes_are_refused(tmp_path, kind):
    content, says = MASK_FAULTS[kind]
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(ValueError, match=rf"m\.tif .*{says}"):
        read_mask(tmp_path / "m.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32])
def test_masks_of_all_whole_numbers_are_read_while_they_fit(tmp_path, dtype):
    labels = np.minimum(LABELS, 100).astype(dtype)
    (tmp_path / "m.tif").write_bytes(tiff(labels))
    mask = read_mask(tmp_path / "m.tif")
    assert (mask.dtype, mask.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(mask, labels)


BOMB = zlib.compress(bytes(200 << 20), 9)  # 200 MiB, of which no limit of Pillow's knows


@pytest.mark.parametrize(
    "texts",
    [
        [(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2 << 20)))],
        [(b"zTXt", b"history\0\0" + zlib.compress(b"x" * (2 << 20)))],
        [(b"tEXt", b"history\0" + b"x" * (3 << 20))],
        [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * (2 << 20)))],
        [(b"zTXt", b"a\0\0" + BOMB), (b"iTXt", b"b\0\1\0\0\0" + BOMB), (b"iCCP", b"c\0\0" + BOMB)],
    ],
    ids=["profile", "compressed text", "text", "XMP", "bombs"],
)
def test_pngs_with_much_metadata_are_read(tmp_path, texts):
    path = tmp_path / "x.png"
    extra = b"".join(chunk(kind, body) for kind, body in texts)
    path.write_bytes(png(RGB.reshape(6, 21), 8, 2, 3, extra))
    np.testing.assert_array_equal(read_image(path, "RGB"), RGB)
    path.write_bytes(png(LABELS, 8, 0, 1, extra))
    np.testing.assert_array_equal(read_mask(path), LABELS)


def test_orientation_in_a_text_is_not_lost(tmp_path):
    xmp = f'<x:xmpmeta tiff:Orientation="6"/>{" " * (2 << 20)}'
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    info.add_text("history", "x" * (2 << 20), zip=True)
    Image.fromarray(RGB).save(tmp_path / "x.png", pnginfo=info)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", "RGB"), np.rot90(RGB, -1))


def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    for read in (read_image, read_mask):
        with pytest.raises(ValueError, match=r"x\.png is too large .*cut it into tiles"):
            read(tmp_path / "x.png")


@pytest.mark.parametrize("kind", [*DEEP_IMAGES, *FOREIGN])
def test_validator_training_and_demo_say_the_same_sentence(tmp_path, kind):
    path = str(tmp_path / "x.png")
    content = DEEP_IMAGES[kind][0] if kind in DEEP_IMAGES else FOREIGN[kind][0]
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.png") as said:
        read_image(path)
    finding, _ = check_pair({"file_name": path}).findings
    with pytest.raises(ValueError, match=r"x\.png") as trained:
        ClassificationMapper([v2.Identity()], image_format="RGB")({"file_name": path})
    jobs = [(path, lambda: {".jpg": read_image(path, "RGB")})]
    drawn = draw_each(jobs, str(tmp_path / "out"), [".jpg"], "draw")
    assert [finding.message, str(trained.value), *drawn.failures] == [str(said.value)] * 3


@pytest.mark.parametrize("palette", [False, True])
def test_pixels_of_a_png_that_do_not_fit_their_checksum_are_refused(tmp_path, palette):
    """Pillow decodes them to other labels, without a word."""
    path = write_png(tmp_path / "x.png", np.full((40, 30), 7, np.uint8), palette)
    content = bytearray((tmp_path / "x.png").read_bytes())
    content[content.index(b"IDAT") + 8] ^= 4
    (tmp_path / "x.png").write_bytes(content)
    for read in (read_image, read_mask):
        with pytest.raises(
            ValueError, match=r"x\.png is .*damaged \(the checksum of its pixels is"
        ):
            read(path)
