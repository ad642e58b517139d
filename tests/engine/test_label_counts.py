"""Pixels of each class in each mask: counted by every number of workers, and read once."""

import os

import cv2
import numpy as np
import pytest
import torch

from tests.small_configs import small_cfg
from vt_seg.data import LABEL_MAP, LabelMap
from vt_seg.engine import label_counts


@pytest.fixture
def masks(tmp_path):
    """Records of five masks of labels 0, 1, 3 and ignored pixels, and the pixels of each class."""
    rng = np.random.default_rng(0)
    arrays = [rng.choice([0, 1, 3, 255], (9, 7)).astype(np.uint8) for _ in range(5)]
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for path, array in zip(paths, arrays, strict=True):
        assert cv2.imwrite(path, array)
    records = [{"sem_seg_file_name": path} for path in paths]
    return records, [[int((a == c).sum()) for c in range(4)] for a in arrays]


@pytest.fixture
def cfg(tmp_path):
    numbers = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 4, "DATALOADER.NUM_WORKERS", 0)
    return small_cfg(*numbers, "OUTPUT_DIR", str(tmp_path / "out"))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pixels_of_each_class_are_counted_by_mask(masks, cfg, num_workers):
    records, expected = masks
    cfg.DATALOADER.NUM_WORKERS = num_workers
    random = torch.get_rng_state()
    counts = label_counts.label_counts(cfg, records)
    assert (counts.tolist(), counts.dtype) == (expected, np.int64)
    assert torch.equal(torch.get_rng_state(), random)  # as where the counts are kept
    assert os.listdir(cfg.OUTPUT_DIR) == ["label_counts.npz"]


def test_processes_share_the_masks(masks, cfg, monkeypatch):
    """The second of two processes counts masks 1 and 3; the first one's counts are the others."""
    records, expected = masks
    comm = "vt_seg.engine.label_counts.comm"
    monkeypatch.setattr(f"{comm}.get_world_size", lambda: 2)
    monkeypatch.setattr(f"{comm}.get_rank", lambda: 1)
    monkeypatch.setattr(f"{comm}.is_main_process", lambda: False)
    gathered = []

    def all_gather(own):
        gathered.append(own)
        return [None, own] if own is None else [np.array(expected)[0::2], own]

    monkeypatch.setattr(f"{comm}.all_gather", all_gather)
    assert label_counts.label_counts(cfg, records).tolist() == expected
    assert np.array(gathered[1]).tolist() == expected[1::2]
    assert not os.path.exists(cfg.OUTPUT_DIR)


def test_the_file_of_a_wrong_label_is_named(masks, cfg):
    """In this process: PyTorch takes 10 s to end workers after an error."""
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 3
    with pytest.raises(ValueError, match=r"0\.png holds label 3"):
        label_counts.label_counts(cfg, masks[0])


def test_masks_are_read_once_and_again_when_they_change(masks, cfg, monkeypatch):
    records, expected = masks
    read = []
    load = label_counts.read_checked_labels
    recording = lambda record, *of: read.append(record) or load(record, *of)  # noqa: E731
    monkeypatch.setattr(label_counts, "read_checked_labels", recording)

    def counts(records):
        return label_counts.label_counts(cfg, records).tolist()

    for _ in range(2):
        assert counts(records) == expected
    assert read == records

    assert cv2.imwrite(records[0]["sem_seg_file_name"], np.full((9, 7), 2, np.uint8))
    assert counts(records) == [[0, 0, 63, 0], *expected[1:]]
    assert counts(records[:1]) == [[0, 0, 63, 0]]
    assert len(read) == 5 + 5 + 1
    moved = {**records[0], LABEL_MAP: LabelMap("these", {2: 3}, "")}
    assert counts([moved]) == [[0, 0, 0, 63]]

    cache = f"{cfg.OUTPUT_DIR}/label_counts.npz"
    with open(cache, "rb") as file:
        content = file.read()
    middle = content.index(b"pixels.npy") + 40  # zlib raises errors of its own
    flipped = content[:middle] + bytes(255 - b for b in content[middle:-200]) + content[-200:]
    for damaged in (b"PK\x03\x04 cut short", b"", b'{"masks": 1}', flipped):
        with open(cache, "wb") as file:
            file.write(damaged)
        assert counts(records[:1]) == [[0, 0, 63, 0]]
