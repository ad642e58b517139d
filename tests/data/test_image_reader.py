"""Images of any channels and dtypes: read as stored, changed alike, refused in a sentence."""

import io
import sys

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from PIL import Image

from tests.small_configs import small_cfg
from vt_seg.data import ImageReader, SemSegMapper, build_augmentations, model_input
from vt_seg.data.augmentations import AffineWarpTransform, FastResizeTransform, PadTo

tifffile = pytest.importorskip("tifffile")


def values(channels, dtype="uint16", size=(6, 9), seed=0):
    """Values of (H, W, C) that 8 bits cannot hold, unless the dtype has 8."""
    high = {"uint8": 256, "uint16": 65536, "int16": 32768, "float32": 3}[dtype]
    low = -32768 if dtype == "int16" else 0
    return np.random.default_rng(seed).uniform(low, high, (*size, channels)).astype(dtype)


def write(path, array, **options):
    """Write an array (H, W, C), or as it is with ``options``, in the format of the path."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        planes = {"planarconfig": "contig"} if array.shape[2] > 1 else {}
        tifffile.imwrite(path, array, **(options or {"photometric": "minisblack", **planes}))
    else:
        order = [2, 1, 0, 3][: array.shape[2]] if array.shape[2] > 2 else slice(None)
        assert cv2.imwrite(str(path), array[..., order])
    return str(path)


FILES = [
    *((".npy", channels, "uint8") for channels in (1, 2, 4)),
    *((".npy", 13, dtype) for dtype in ("uint16", "int16", "float32")),
    *((".tif", channels, "uint16") for channels in (1, 2, 3, 4, 13)),
    *((".tif", 5, dtype) for dtype in ("uint8", "int16", "float32")),
    *((".png", channels, "uint16") for channels in (1, 3, 4)),
    *((".png", channels, "uint8") for channels in (1, 4)),
]


@pytest.mark.parametrize(("suffix", "channels", "dtype"), FILES)
def test_values_are_those_of_the_file(tmp_path, suffix, channels, dtype):
    image = values(channels, dtype)
    reader = ImageReader("RGB", channels, dtype)
    read = reader(write(tmp_path / f"x{suffix}", image))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, image)
    assert reader.picture(read).shape == (6, 9, 3)


def test_three_channels_have_the_order_of_input_format(tmp_path):
    path = write(tmp_path / "x.png", values(3))
    rgb, bgr = (ImageReader(order, 3, "uint16") for order in ("RGB", "BGR"))
    np.testing.assert_array_equal(bgr(path), rgb(path)[..., ::-1])
    np.testing.assert_array_equal(bgr.picture(bgr(path)), rgb.picture(rgb(path)))


def test_layouts_of_tiffs_and_channels_first(tmp_path):
    """Bands in planes name their axis; pages and arrays have the one that is configured."""
    image = values(4)
    first = np.ascontiguousarray(image.transpose(2, 0, 1))
    reader = ImageReader("RGB", 4, "uint16")
    options = [
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "minisblack", "planarconfig": "separate", "compression": "zlib"},
    ]
    for flag in (False, True):
        reader = ImageReader("RGB", 4, "uint16", channels_first=flag)
        for option in options:
            np.testing.assert_array_equal(reader(write(tmp_path / "x.tif", first, **option)), image)
        big = write(tmp_path / "x.tif", image, photometric="rgb", byteorder=">", bigtiff=True)
        np.testing.assert_array_equal(reader(big), image)
    for path in (
        write(tmp_path / "x.npy", first),
        write(tmp_path / "x.tif", first, photometric="minisblack"),
    ):
        np.testing.assert_array_equal(reader(path), image)
        with pytest.raises(ValueError, match=f"^{path} has .*: set INPUT.CHANNELS_FIRST True"):
            ImageReader("RGB", 4, "uint16")(path)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


NAN = np.full((2, 3, 4), np.nan, np.float32)
OBJECTS = np.array([[{}, 1.0]], dtype=object)
TWO = np.zeros((2, 6, 9), np.uint8)
REFUSED = [
    (npy(values(5)), "has 5 channels, and INPUT.IN_CHANNELS is 4: set INPUT.IN_CHANNELS 5, with"),
    (tiff(values(3), photometric="rgb"), "has 3 channels, and INPUT.IN_CHANNELS is 4"),
    (npy(values(4, "uint8")), "holds uint8, and INPUT.DTYPE is uint16: set INPUT.DTYPE uint8"),
    (npy(values(4).astype(float)), "holds float64, and INPUT.DTYPE is uint16: save one of uint8,"),
    (npy(OBJECTS), "holds Python objects, which could run code, in place of numbers: save one"),
    (npy(np.zeros((2, 3, 4, 5), np.uint16)), r"has the shape \(2, 3, 4, 5\), need height and"),
    (npy(np.zeros((0, 3, 4), np.uint16)), r"has the shape \(0, 3, 4\)"),
    (npy(values(4))[:-7], "is truncated or damaged"),
    (npy(values(4)).replace(b"(6, 9, 4)", b"(6, 9**9)"), "is truncated or damaged"),
    (b"\x93NUMPY", "is truncated or damaged"),
    (tiff(values(4), photometric="rgb")[:-50], "is truncated or damaged"),
    (b"II*\0", "is truncated or damaged"),
    (tiff(TWO, photometric="palette", colormap=np.zeros((3, 256), np.uint16)), "has a palette"),
    (tiff(values(1), extratags=[(274, 3, 1, 6, True)]), "has the EXIF orientation 6: save it"),
    (png(Image.new("P", (9, 6))), "is of Pillow's mode P with 1 bits, whose values are no chan"),
    (png(Image.new("1", (9, 6))), "is of Pillow's mode 1"),
    (b"<html>", "is a web page"),
]


@pytest.mark.parametrize(("content", "says"), REFUSED)
def test_other_file_is_refused_in_a_sentence(tmp_path, content, says):
    (tmp_path / "x.dat").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{tmp_path}/x.dat {says}"):
        ImageReader("RGB", 4, "uint16")(tmp_path / "x.dat")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    path = write(tmp_path / "x.npy", NAN)
    with pytest.raises(ValueError, match=f"^{path} has 24 values that are NaN or infinite: repl"):
        ImageReader("RGB", 4, "float32")(path)


def test_missing_tifffile_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    path = write(tmp_path / "x.npy", values(4))
    assert ImageReader("RGB", 4, "uint16")(path).shape == (6, 9, 4)
    (tmp_path / "x.tif").write_bytes(b"II*\0")
    with pytest.raises(ImportError, match=r"x.tif is a TIFF, .*: pip install tifffile"):
        ImageReader("RGB", 4, "uint16")(tmp_path / "x.tif")


def test_more_than_8_bits_where_colours_are_configured_name_the_keys(tmp_path):
    for path in (write(tmp_path / "x.tif", values(4)), write(tmp_path / "x.npy", values(3))):
        with pytest.raises(ValueError, match=f"^{path} .* set INPUT.IN_CHANNELS and INPUT.DTYPE"):
            ImageReader()(path)


def test_pictures_show_the_chosen_channels_stretched():
    image = np.zeros((10, 10, 13), np.uint16)
    image[..., 3] = np.arange(1000, 1100).reshape(10, 10)
    view = ImageReader("RGB", 13, "uint16", picture_channels=(3, 2, 1)).picture(image)
    low, high = np.percentile(np.arange(100), (2, 98))
    expected = np.clip((np.arange(100) - low) * 255 / (high - low), 0, 255).reshape(10, 10)
    assert np.abs(view[..., 0] - expected).max() <= 1
    assert not view[..., 1:].any()
    grey = ImageReader("RGB", 13, "uint16", picture_channels=(3,)).picture(image)
    np.testing.assert_array_equal(grey, view[..., :1].repeat(3, axis=2))
    plain = values(4, "uint8")
    np.testing.assert_array_equal(ImageReader("RGB", 4).picture(plain), plain[..., :3])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_channels_are_resized_warped_and_padded_as_each_alone(channels, dtype):
    """Pillow's resize of one channel of floats is the reference; OpenCV's warp of one channel."""
    image = values(channels, dtype, (23, 31))
    warp = AffineWarpTransform(
        np.array([[0.8, 0.1, 1.0], [-0.1, 0.8, 2.0]]), (23, 31), (20, 20), (7,) * channels
    )
    warped = warp.apply_image(image)
    padded = PadTo((30, 40), tuple(range(channels)), 255).get_transform(image).apply_image(image)
    scale = 1e-4 if dtype == "float32" else 1
    for size in ((12, 17), (50, 40)):
        resized = FastResizeTransform(23, 31, *size).apply_image(image)
        assert (resized.shape, resized.dtype) == ((*size, channels), dtype)
        for i in range(channels):
            channel = Image.fromarray(image[..., i].astype(np.float32))
            reference = channel.resize(size[::-1], Image.Resampling.BILINEAR)
            error = np.abs(resized[..., i].astype(float) - np.asarray(reference))
            assert error.max() <= scale
    most = max(np.ptp(image.astype(float)), 7.0)
    for i in range(channels):
        alone = AffineWarpTransform(warp.matrix, (23, 31), (20, 20), (7,)).apply_image(
            image[..., i]
        )
        # OpenCV rounds coordinates to 1/32 pixel for some numbers of channels.
        assert np.abs(warped[..., i].astype(float) - alone).max() <= 0.03 * most
        np.testing.assert_array_equal(padded[:23, :31, i], image[..., i])
        assert (padded[23:, :, i] == i).all()
        assert (padded[:, 31:, i] == i).all()
    for probability in (0.0, 1.0):
        flip = T.AugmentationList([T.RandomFlip(probability)])
        flipped = model_input(image, flip)["image"]
        expected = image[:, ::-1] if probability else image
        assert flipped.dtype == (torch.float32 if dtype == "uint16" else getattr(torch, dtype))
        np.testing.assert_array_equal(flipped.numpy(), expected.transpose(2, 0, 1))


def test_mapper_augments_and_pads_with_the_mean_in_the_files_units(tmp_path):
    cfg = small_cfg(
        *("INPUT.IN_CHANNELS", 5, "INPUT.DTYPE", "float32", "INPUT.PAD_TO", (32, 32)),
        *("MODEL.PIXEL_MEAN", [0.25] * 5, "MODEL.PIXEL_STD", [0.1] * 5),
        *("INPUT.CROP.ENABLED", True, "INPUT.CROP.TYPE", "absolute", "INPUT.CROP.SIZE", [16, 16]),
        *("INPUT.MIN_SIZE_TRAIN", (16,)),
    )
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "x.png")
    image = write(tmp_path / "x.tif", values(5, "float32", (24, 24)))
    mapper = SemSegMapper(cfg, is_train=True)
    record = mapper({"file_name": image, "sem_seg_file_name": str(tmp_path / "x.png")})
    assert record["image"].shape == (5, 32, 32)
    assert (record["image"][:, 16:] == 0.25).all()
    assert (record["sem_seg"][16:] == 255).all()
    assert len(build_augmentations(cfg, is_train=False)) == 1
