"""Datasets of a few masks, registered while a test runs; evaluation in two processes."""

import uuid
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm

from vt_seg.data import unregister


@pytest.fixture
def register(tmp_path) -> Callable[..., tuple[str, list[dict]]]:
    """``register(masks, num_classes, **metadata)`` writes grey PNGs, returns name and records."""
    names = []

    def register(masks, num_classes, **metadata):
        name = f"evaluated_{uuid.uuid4().hex}"
        records = []
        for i, mask in enumerate(masks):
            path = tmp_path / f"{name}_{i}.png"
            assert cv2.imwrite(str(path), np.asarray(mask, np.uint8))
            records.append({"file_name": f"image_{i}.jpg", "sem_seg_file_name": str(path)})
        DatasetCatalog.register(name, lambda: records)
        metadata = {"ignore_label": 255, "evaluator_type": "sem_seg", **metadata}
        metadata.setdefault("stuff_classes", [f"c{i}" for i in range(num_classes)])
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name, records

    yield register
    unregister(*names)


def run_in_two_processes(work: Callable[[int], object], folder: Path) -> list:
    """Return what ``work(rank)`` returns in each of two forked processes of one group."""
    folder.mkdir()

    def run(rank):
        torch.set_num_threads(1)
        meet = f"file://{folder}/meet"
        torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
        comm.create_local_process_group(2)
        torch.save(work(rank), folder / f"{rank}.pth")

    torch.multiprocessing.start_processes(run, nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pth") for rank in range(2)]
