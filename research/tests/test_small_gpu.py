"""The scripts of docs/small_gpu.md: what they keep, count and compare."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from research import small_gpu
from research.rare_classes import mean_and_std, skewed_records


def test_checkpointing_and_accumulation_keep_fewer_bytes():
    args = SimpleNamespace(device="cpu", size=(64, 64), batch=2, opts=[])
    kept = {
        name: small_gpu.MeasuredStep(args, "vtfpn_R18_scenes", opts).kept_bytes()
        for name, opts in small_gpu.SETTINGS.items()
        if name in ("float32", "checkpointing", "ACCUMULATE 2")
    }
    assert kept["checkpointing"] < 0.85 * kept["float32"]
    assert kept["ACCUMULATE 2"] == pytest.approx(0.5 * kept["float32"], rel=0.1)


def test_a_skewed_set_has_few_images_of_the_class(tmp_path):
    records = []
    for i in range(6):
        path = str(tmp_path / f"{i}.png")
        cv2.imwrite(path, np.full((2, 2), i % 2, np.uint8))
        records.append({"sem_seg_file_name": path})
    got = skewed_records(records, 1, 1, 3)
    assert got == [records[1], *records[0::2]]
    with pytest.raises(ValueError, match="3 images with the class and 3 without it: lower --rare"):
        skewed_records(records, 1, 4, 1)


def test_mean_and_std():
    assert mean_and_std([1.0, 3.0]) == "2.0 ± 1.4"
    assert mean_and_std([2.0]) == "2.0 ± 0.0"
