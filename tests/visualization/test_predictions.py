"""Files in, pictures out; nothing half-written, nothing mixed up."""

import os

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from vt_seg.data.datasets.registration import unregister
from vt_seg.visualization import draw_dataset, draw_files, find_images

from ..engine.tiny_datasets import write_blocks

CLASSES = {
    "stuff_classes": ["a", "b", "c", "d"],
    "stuff_colors": [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)],
    "ignore_label": 255,
}


def all_of_class_c(image_bgr):
    return np.full(image_bgr.shape[:2], 2)


def mean_color(path, columns):
    picture = cv2.imread(path)[60:, :, ::-1]
    return picture[:, columns].reshape(-1, 3).mean(0)


@pytest.fixture
def folder(tmp_path):
    write_blocks(tmp_path / "images", tmp_path / "masks", ["x1", "x2", "y"], [0, 1])
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path


def test_find_images(folder):
    images = str(folder / "images")
    all_three = [f"{images}/{name}.jpg" for name in ("x1", "x2", "y")]
    assert find_images([images]) == all_three
    assert find_images([f"{images}/x*.jpg", f"{images}/y.jpg"]) == all_three
    # Named twice, drawn once.
    assert find_images([f"{images}/y.jpg", images])[0] == all_three[2]
    assert len(find_images([f"{images}/y.jpg", images])) == 3
    for nothing in (f"{images}/z*.jpg", f"{images}/z.jpg", str(folder)):
        with pytest.raises(FileNotFoundError, match="no such image, or no images in it"):
            find_images([images, nothing])


def test_draw_files(folder):
    (folder / "more").mkdir()
    os.replace(folder / "images/x2.jpg", folder / "more/x1.jpg")
    paths = [str(folder / "images/x1.jpg"), str(folder / "more/x1.jpg")]
    written = draw_files(paths, all_of_class_c, Metadata(**CLASSES), str(folder / "out"))
    # Two files of one name do not overwrite each other, and no temporary file stays.
    assert [os.path.basename(path) for path in written] == [
        "x1_prediction.jpg",
        "x1_2_prediction.jpg",
    ]
    assert sorted(os.listdir(folder / "out")) == sorted(map(os.path.basename, written))
    red, green, blue = mean_color(written[0], slice(None))
    assert blue > red + 40 and blue > green + 20


def test_draw_dataset(folder):
    name = f"drawn_{folder.name}"
    DatasetCatalog.register(
        name,
        lambda: [
            {
                "file_name": str(folder / f"images/{stem}.jpg"),
                "sem_seg_file_name": str(folder / f"masks/{stem}.png"),
            }
            for stem in ("x1", "x2", "y")
        ],
    )
    MetadataCatalog.get(name).set(**CLASSES)
    try:
        written, overview = draw_dataset(name, 2, all_of_class_c, str(folder / "out"))
    finally:
        unregister(name)
    # The first and the last of three.
    assert [os.path.basename(path) for path in written] == [
        "x1_comparison.jpg",
        "y_comparison.jpg",
    ]
    assert cv2.imread(overview).shape[1] == 2400

    width = (cv2.imread(written[0]).shape[1] - 16) // 3
    truth = mean_color(written[0], slice(width + 8, 2 * width + 8))
    prediction = mean_color(written[0], slice(2 * width + 16, None))
    # The truth is half red, half green; the prediction is blue.
    assert truth[2] < truth[0] and truth[2] < truth[1]
    assert prediction[2] > prediction[0] + 40
