"""Files in, pictures out: complete files under their own names."""

import os
import re
import socket
from functools import partial

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from tests.tiny_datasets import write_blocks
from vt_seg.data import read_image, unregister
from vt_seg.visualization import (
    describe_drawn,
    draw_dataset,
    draw_each,
    draw_sem_seg,
    find_images,
    require_all_drawn,
)

CLASSES = {
    "stuff_classes": ["a", "b", "c", "d"],
    "stuff_colors": [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)],
    "ignore_label": 255,
}


def all_of_class_c(image_bgr):
    return np.full(image_bgr.shape[:2], 2)


def draw_files(paths, predict, metadata, output_dir):
    ending = "_prediction.jpg"

    def draw(path):
        image = read_image(path, "BGR")
        return {ending: draw_sem_seg(image[:, :, ::-1].copy(), predict(image), metadata)}

    jobs = [(path, partial(draw, path)) for path in paths]
    return draw_each(jobs, output_dir, [ending], "draw")


def mean_color(path, columns):
    picture = cv2.imread(path)[60:, :, ::-1]
    return picture[:, columns].reshape(-1, 3).mean(0)


@pytest.fixture
def folder(tmp_path):
    write_blocks(tmp_path / "images", tmp_path / "masks", ["x1", "x2", "y"], [0, 1])
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path


def test_images_are_found_by_folder_and_pattern(folder):
    images = str(folder / "images")
    all_three = [f"{images}/{name}.jpg" for name in ("x1", "x2", "y")]
    notes = [f"{images}: 1 .txt (notes.txt)"]
    assert find_images([images]) == (all_three, notes, [])
    assert find_images([f"{images}/x*.jpg", f"{images}/y.jpg"]) == (all_three, [], [])
    # An image that is named twice is found once.
    assert find_images([f"{images}/y.jpg", images]).paths == [all_three[2], *all_three[:2]]
    for nothing in (f"{images}/z*.jpg", f"{images}/z.jpg", str(folder)):
        says = f"{nothing}: no such image, or no images in it"
        with pytest.raises(FileNotFoundError, match="no such image, or no images in it"):
            find_images([nothing])
        found = find_images([nothing, images])
        assert (found.paths, found.failures[0].split(";")[0]) == (all_three, says)


@pytest.mark.parametrize("source", ["{}", "{}/*.png"])
def test_entries_that_are_no_regular_files_are_skipped(folder, monkeypatch, source):
    monkeypatch.chdir(folder)  # the path of a socket may not be long
    os.mkdir("images/d.png")
    os.mkfifo("images/e.png")
    os.symlink("/dev/zero", "images/f.png")
    cv2.imwrite("images/z.png", np.zeros((4, 4, 3), np.uint8))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("images/g.png")
        paths, skipped, _ = find_images([source.format("images")])
    assert [path for path in paths if path.endswith(".png")] == ["images/z.png"]
    kinds = {"d": "a folder", "e": "a named pipe", "f": "a device", "g": "a socket"}
    said = [sentence.split(";")[0] for sentence in skipped if " is " in sentence]
    assert said == [f"images/{name}.png is {kind}" for name, kind in kinds.items()]
    os.remove("images/z.png")
    with pytest.raises(FileNotFoundError, match=r"no images in it; images/d\.png is a folder"):
        find_images(["images/*.png"])


def test_skipped_files_of_a_folder_are_counted_and_named(folder):
    images = folder / "images"
    for name in ("._x1.jpg", ".DS_Store", "Thumbs.db", "a.heic", "b.HEIC", "c.heic", "d.heic", "x"):
        (images / name).touch()
    for name in ("deeper", "@eaDir"):
        (images / name).mkdir()
    (sentence,) = find_images([str(images)]).skipped
    assert sentence.removeprefix(f"{images}: ").split("), ") == [
        "4 hidden or system files (@eaDir, .DS_Store, ._x1.jpg, ...",
        "1 subfolders (deeper",
        "4 .heic (a.heic, b.HEIC, c.heic, ...",
        "1 .txt (notes.txt",
        "1 without extension (x)",
    ]


def test_bad_image_does_not_stop_the_others(folder):
    images = folder / "images"
    (images / "bad.jpg").write_bytes(b"not an image")
    os.symlink("nowhere", images / "gone.png")
    long_name = "ö" * 120 + ".png"  # 244 bytes
    cv2.imwrite(str(images / long_name), np.zeros((40, 40, 3), np.uint8))

    def fails_for_small_images(image_bgr):
        if len(image_bgr) == 7:
            raise RuntimeError("maps are\n too small")
        return all_of_class_c(image_bgr)

    cv2.imwrite(str(images / "small.png"), np.zeros((7, 7, 3), np.uint8))
    paths = find_images([str(images)]).paths
    arguments = (fails_for_small_images, Metadata(**CLASSES), str(folder / "out"))
    drawn = draw_files(paths, *arguments)
    assert [os.path.basename(path) for path in drawn.written] == [
        "x1_prediction.jpg",
        "x2_prediction.jpg",
        "y_prediction.jpg",
        "ö" * 100 + "_prediction.jpg",
    ]
    reasons = {"bad.jpg": "not", "gone.png": "no such file", "small.png": "maps are too small"}
    for sentence, (path, reason) in zip(drawn.failures, reasons.items(), strict=True):
        assert re.search(f"{images / path}.*{reason}|{reason}.*{images / path}", sentence)
        assert "\n" not in sentence
    with pytest.raises(ValueError, match=r"^3 of 7 not drawn:\n  .*bad\.jpg.*\n(.*\n)+.*too small"):
        require_all_drawn(drawn, len(paths))
    require_all_drawn(draw_files(paths[3:4], *arguments), 1)


def test_files_of_one_name_do_not_overwrite_each_other(folder):
    (folder / "more").mkdir()
    os.replace(folder / "images/x2.jpg", folder / "more/x1.jpg")
    paths = [str(folder / "images/x1.jpg"), str(folder / "more/x1.jpg")]
    written = draw_files(paths, all_of_class_c, Metadata(**CLASSES), str(folder / "out")).written
    names = [os.path.basename(path) for path in written]
    assert names == ["x1_prediction.jpg", "x1_2_prediction.jpg"]
    assert sorted(os.listdir(folder / "out")) == sorted(names)  # no temporary file is left
    red, green, blue = mean_color(written[0], slice(None))
    assert blue > max(red + 40, green + 20)


def test_second_run_into_a_folder_overwrites_nothing(folder):
    paths, out = [str(folder / "images/x1.jpg")], str(folder / "out")
    first = draw_files(paths, all_of_class_c, Metadata(**CLASSES), out)
    content = (folder / "out/x1_prediction.jpg").read_bytes()
    second = draw_files(paths, lambda x: all_of_class_c(x) - 1, Metadata(**CLASSES), out)
    assert (first.numbered, second.numbered) == ([], [f"{out}/x1_2_prediction.jpg"])
    assert second.written == second.numbered
    assert (folder / "out/x1_prediction.jpg").read_bytes() == content
    assert "1 names were taken or too long, e.g." in describe_drawn(second, "pictures", out)


def test_damaged_image_does_not_stop_the_comparisons(folder):
    name = f"damaged_{folder.name}"
    (folder / "images/damaged.jpg").write_bytes(b"no image")
    mask = f"{folder}/masks/x1.png"
    files = [f"{folder}/images/{stem}.jpg" for stem in ("x1", "damaged", "y")]
    DatasetCatalog.register(
        name, lambda: [{"file_name": file, "sem_seg_file_name": mask} for file in files]
    )
    MetadataCatalog.get(name).set(**CLASSES)
    try:
        drawn = draw_dataset(name, 3, all_of_class_c, str(folder / "out"))
    finally:
        unregister(name)
    assert [os.path.basename(file) for file in drawn.written] == [
        "x1_comparison.jpg",
        "y_comparison.jpg",
    ]
    assert drawn.overviews == [f"{folder}/out/overview.png"]
    (failure,) = drawn.failures
    assert "images/damaged.jpg is text, not an image" in failure


def test_image_truth_and_prediction_stand_side_by_side(folder):
    name = f"drawn_{folder.name}"
    kinds = {"file_name": "images/{}.jpg", "sem_seg_file_name": "masks/{}.png"}
    records = [
        {key: f"{folder}/{kind.format(stem)}" for key, kind in kinds.items()}
        for stem in ("x1", "x2", "y")
    ]
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(**CLASSES)
    try:
        written, _, (overview,), _ = draw_dataset(name, 2, all_of_class_c, str(folder / "out"))
    finally:
        unregister(name)
    # Two images are the first and the last of three.
    names = [os.path.basename(path) for path in written]
    assert names == ["x1_comparison.jpg", "y_comparison.jpg"]
    assert cv2.imread(overview).shape[1] == 2400
    # The truth is half red, half green; the prediction is blue.
    width = (cv2.imread(written[0]).shape[1] - 16) // 3
    truth = mean_color(written[0], slice(width + 8, 2 * width + 8))
    prediction = mean_color(written[0], slice(2 * width + 16, None))
    assert truth[2] < min(truth[:2])
    assert prediction[2] > prediction[0] + 40
