import numpy as np
import pytest
from PIL import Image, ImageOps

from vt_seg.data import check_labels, read_checked_labels, read_image, read_mask

from .image_files import EXIF_ORIENTATION, gradient, write_grey_png, write_png

LABELS = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
# What a viewer shows for a stored array of this orientation.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    6: lambda a: np.rot90(a, -1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_image_is_read_upright_as_bgr_or_rgb(tmp_path, orientation):
    stored = gradient(4, 5)
    path = write_png(tmp_path / "a.png", stored, orientation=orientation)
    expected = UPRIGHT[orientation](stored)
    np.testing.assert_array_equal(read_image(path, "RGB"), expected)
    np.testing.assert_array_equal(read_image(path), expected[..., ::-1])


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpegs_are_what_pillow_makes_of_them(tmp_path, orientation, subsampling):
    """Whoever decodes: the same pixels, turned the same way. 9 is no orientation."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    detail = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(detail).resize((170, 120), Image.BICUBIC).save(
        path, quality=90, subsampling=subsampling, exif=exif
    )
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    image = read_image(path, "RGB")
    np.testing.assert_array_equal(image, expected)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(read_image(path), expected[..., ::-1])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_colours_are_what_pillow_makes_of_them(tmp_path, mode):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient(40, 50)).convert(mode).save(path, quality=90)
    np.testing.assert_array_equal(read_image(path, "RGB"), Image.open(path).convert("RGB"))


def test_jpegs_with_bytes_after_their_end(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient(40, 50)).save(path)
    expected = np.asarray(Image.open(path))
    content = path.read_bytes()
    for extra in (b"\0" * 8, b"maker's notes" * 50):
        path.write_bytes(content + extra)
        np.testing.assert_array_equal(read_image(path, "RGB"), expected)
    # Cut anywhere, it is refused, whatever OpenCV would make of it.
    for kept in (0.3, 0.9, 0.999):
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(ValueError, match=r"a.jpg is truncated or damaged"):
            read_image(path)


def test_image_kinds_that_are_converted(tmp_path):
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    path = write_png(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(read_image(path), np.repeat(grey[..., None], 3, 2))
    rgba = np.concatenate([gradient(2, 3), np.full((2, 3, 1), 9, np.uint8)], 2)
    path = write_png(tmp_path / "rgba.png", rgba)
    np.testing.assert_array_equal(read_image(path, "RGB"), rgba[..., :3])


def test_unusable_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone.jpg"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    deep = write_png(tmp_path / "deep.png", np.full((4, 4), 40000, np.uint16))
    with pytest.raises(ValueError, match=r"deep.png holds 16-bit unsigned channels"):
        read_image(deep)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"text.png is text, not an image"):
        read_image(tmp_path / "text.png")


def test_small_palette_is_read_as_indices(tmp_path):
    image = Image.new("P", (3, 2))
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])
    image.putdata([0, 1, 2, 2, 1, 0])
    image.save(tmp_path / "m.png", bits=2)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), [[0, 1, 2], [2, 1, 0]])


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_grey_and_palette_masks_are_the_same_labels_upright(tmp_path, orientation, palette):
    path = write_png(tmp_path / "m.png", LABELS, palette=palette, orientation=orientation)
    assert Image.open(path).mode == ("P" if palette else "L")
    mask = read_mask(path)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, UPRIGHT[orientation](LABELS))


def test_sixteen_bit_mask_is_taken_while_it_fits(tmp_path):
    path = write_png(tmp_path / "m.png", LABELS.astype(np.uint16))
    np.testing.assert_array_equal(read_mask(path), LABELS)
    path = write_png(tmp_path / "big.png", np.array([[0, 256]], np.uint16))
    with pytest.raises(ValueError, match=r"big.png.*values 0..256, need 0..255"):
        read_mask(path)


@pytest.mark.parametrize(
    ("mode", "fix"),
    [("RGB", "colours to"), ("RGBA", "colours to"), ("LA", ""), ("1", "which class")],
)
def test_masks_without_one_channel_of_ids_are_refused(tmp_path, mode, fix):
    # RGB with three equal channels too: whether they are ids is not for a reader to guess.
    Image.fromarray(LABELS).convert(mode).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=f"m.png.*mode {mode}, need one channel.*{fix}"):
        read_mask(tmp_path / "m.png")


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_refused_because_decoders_rescale_it(tmp_path, bits):
    labels = np.array([[0, 1, 2, 3, 1], [3, 2, 1, 0, 3]])
    path = write_grey_png(tmp_path / "m.png", labels, bits)
    rescaled = np.asarray(Image.open(path).convert("L"))
    np.testing.assert_array_equal(rescaled, labels * (255 // (2**bits - 1)))
    with pytest.raises(ValueError, match=f"m.png is a grey PNG of {bits} bits.*8-bit grey"):
        read_mask(path)
    np.testing.assert_array_equal(
        read_mask(write_grey_png(tmp_path / "full.png", labels, 8)), labels
    )


def test_jpeg_mask_is_refused(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "m.jpg")
    with pytest.raises(ValueError, match=r"m.jpg is a JPEG"):
        read_mask(tmp_path / "m.jpg")


def test_label_check_accepts_the_range_and_the_ignored_label():
    check_labels(LABELS, 5, 255, "m.png")
    check_labels(np.array([[0, 4, 17]], np.uint8), 5, 17, "m.png")


@pytest.mark.parametrize(
    ("values", "num_classes", "ignore_label", "says"),
    [
        ([0, 181], 171, 255, r"m.png holds label 181 \(50.0 % .*num_classes is 171.*stuffthing"),
        ([0, 1, 2, 5], 5, 255, "holds label 5 .*start at 1.*NUM_CLASSES 6"),
        ([0, 255], 5, 254, "holds label 255 .*IGNORE_VALUE 255"),
        ([0, 9, 200], 5, 255, "holds label 9, 200 .*NUM_CLASSES to the number"),
        (list(range(30)), 5, 255, r"5, 6, 7, 8, 9, 10, 11, 12, \.\.\. "),
    ],
)
def test_label_check_names_file_values_classes_and_fix(values, num_classes, ignore_label, says):
    with pytest.raises(ValueError, match=says):
        check_labels(np.array([values], np.uint8), num_classes, ignore_label, "m.png")


def test_labels_of_a_record_are_checked_and_writable(tmp_path):
    record = {"sem_seg_file_name": write_png(tmp_path / "m.png", LABELS, palette=True)}
    labels = read_checked_labels(record, 5, 255)
    assert labels.dtype == np.uint8
    labels[labels == 255] = 5
    np.testing.assert_array_equal(labels, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match=r"m.png holds label 4"):
        read_checked_labels(record, 4, 255)
