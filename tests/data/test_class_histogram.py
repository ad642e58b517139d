"""Counting the labels of a training set: right, once, and never from a stale file."""

import os

import cv2
import numpy as np
import pytest

from vt_seg.data import class_histogram as module
from vt_seg.data.class_histogram import class_histogram


@pytest.fixture
def masks(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.choice([0, 1, 3, 255], (9, 7)).astype(np.uint8) for _ in range(5)]
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for path, array in zip(paths, arrays, strict=True):
        assert cv2.imwrite(path, array)
    return paths, [sum(int((a == c).sum()) for a in arrays) for c in range(4)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_counts(masks, tmp_path, num_workers):
    paths, expected = masks
    cache = str(tmp_path / "out" / "histogram.json")
    counts = class_histogram(paths, 4, 255, cache, num_workers)
    assert counts.tolist() == expected
    assert expected[2] == 0 and counts.dtype == np.int64
    assert os.listdir(tmp_path / "out") == ["histogram.json"]


def test_masks_are_read_once_and_again_when_they_change(masks, tmp_path, monkeypatch):
    paths, expected = masks
    cache = str(tmp_path / "histogram.json")
    read = []
    loader = module.mask_loader(4, 255)

    class Recording:
        ignore_label = 255

        def __call__(self, path):
            read.append(path)
            return loader(path)

    monkeypatch.setattr(module, "mask_loader", lambda *args: Recording())
    for _ in range(2):
        assert class_histogram(paths, 4, 255, cache).tolist() == expected
    assert read == paths

    assert cv2.imwrite(paths[0], np.full((9, 7), 2, np.uint8))
    assert class_histogram(paths, 4, 255, cache)[2] == 63
    assert class_histogram(paths[:1], 4, 255, cache).tolist() == [0, 0, 63, 0]
    assert len(read) == 5 + 5 + 1

    (tmp_path / "histogram.json").write_text('{"masks": ')  # cut short
    assert class_histogram(paths[:1], 4, 255, cache).tolist() == [0, 0, 63, 0]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_label_out_of_range_names_the_file(masks, tmp_path, num_workers):
    paths, _ = masks
    with pytest.raises(ValueError, match=r"0\.png holds label 3"):
        class_histogram(paths, 3, 255, str(tmp_path / "histogram.json"), num_workers)
