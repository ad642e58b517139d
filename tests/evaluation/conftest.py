"""Datasets of a few masks, registered while a test runs."""

import uuid
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import unregister


@pytest.fixture
def register(tmp_path) -> Callable[..., tuple[str, list[dict]]]:
    """``register(masks, num_classes, **metadata)`` writes grey PNGs and gives name and records."""
    names = []

    def register(masks, num_classes, **metadata):
        name = f"evaluated_{uuid.uuid4().hex}"
        records = []
        for i, mask in enumerate(masks):
            path = tmp_path / f"{name}_{i}.png"
            assert cv2.imwrite(str(path), np.asarray(mask, np.uint8))
            records.append({"file_name": f"image_{i}.jpg", "sem_seg_file_name": str(path)})
        DatasetCatalog.register(name, lambda: records)
        classes = metadata.pop("stuff_classes", [f"c{i}" for i in range(num_classes)])
        MetadataCatalog.get(name).set(stuff_classes=classes, **{"ignore_label": 255, **metadata})
        names.append(name)
        return name, records

    yield register
    unregister(*names)
