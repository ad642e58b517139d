"""The evaluator follows from the dataset's metadata."""

import uuid

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, COCOPanopticEvaluator, DatasetEvaluators

from tests.tiny_datasets import write_blocks
from vt_seg.data import read_mask
from vt_seg.data.datasets.registration import unregister
from vt_seg.engine import Trainer, load_cfg
from vt_seg.evaluation import SegmentationEvaluator, build_evaluator


@pytest.fixture
def dataset(tmp_path):
    """A registered dataset of two images with the labels 0-3; gone again after the test."""
    name = f"blocks_{uuid.uuid4().hex}"
    write_blocks(tmp_path / "images", tmp_path / "masks", ["a", "b"], [0, 1, 2, 3])
    DatasetCatalog.register(
        name,
        lambda: [
            {
                "file_name": str(tmp_path / "images" / f"{stem}.jpg"),
                "sem_seg_file_name": str(tmp_path / "masks" / f"{stem}.png"),
            }
            for stem in ("a", "b")
        ],
    )
    MetadataCatalog.get(name).set(
        stuff_classes=["w", "x", "y", "z"], ignore_label=255, evaluator_type="sem_seg"
    )
    yield name
    unregister(name)


@pytest.fixture
def cfg(tmp_path):
    return load_cfg("", ["OUTPUT_DIR", str(tmp_path / "out")])


def test_sem_seg(cfg, dataset):
    assert isinstance(build_evaluator(cfg, dataset), SegmentationEvaluator)


def test_the_keys_reach_the_evaluator(cfg, dataset, tmp_path):
    """Each key, by what it changes in the results."""
    record = DatasetCatalog.get(dataset)[0]
    predicted = torch.from_numpy(read_mask(record["sem_seg_file_name"])) % 4

    def evaluate():
        evaluator = build_evaluator(cfg, dataset)
        evaluator.process([record], [{"sem_seg": predicted.clamp(max=1)}])
        return evaluator.evaluate()["sem_seg"]

    predictions = tmp_path / "out" / "inference" / "sem_seg_predictions.json"
    plain = evaluate()
    assert plain["classes-in-mean"] == 4 and "mBoundaryIoU" not in plain
    assert not predictions.exists()
    write_blocks(tmp_path / "images", tmp_path / "masks", ["a"], [0, 0, 1, 1])
    assert evaluate()["classes-in-mean"] == 2

    cfg.TEST.SEM_SEG.MEAN_OVER = "all"
    cfg.TEST.SEM_SEG.BOUNDARY_IOU = True
    cfg.TEST.SEM_SEG.PREDICTIONS_JSON = True
    scores = evaluate()
    assert scores["classes-in-mean"] == 4 and "mBoundaryIoU" in scores
    assert predictions.exists()


def test_several_test_sets_do_not_overwrite_each_other(cfg, dataset):
    inference = f"{cfg.OUTPUT_DIR}/inference"
    assert build_evaluator(cfg, dataset)._output_dir == inference
    cfg.DATASETS.TEST = (dataset, "another")
    assert build_evaluator(cfg, dataset)._output_dir == f"{inference}/{dataset}"
    assert build_evaluator(cfg, dataset, "elsewhere")._output_dir == "elsewhere"


def test_results_of_several_test_sets_stay_below_output_folder(cfg, dataset):
    """Detectron2 registers any name, so that registration here is not the only guard."""
    climbing = f"../../../{dataset}"
    DatasetCatalog.register(climbing, lambda: DatasetCatalog.get(dataset))
    MetadataCatalog.get(climbing).set(
        stuff_classes=["w", "x"], ignore_label=255, evaluator_type="sem_seg"
    )
    cfg.DATASETS.TEST = (dataset, climbing)
    try:
        for build in (
            lambda: build_evaluator(cfg, climbing),
            lambda: Trainer._build_evaluators(cfg, "EMA"),
        ):
            with pytest.raises(
                ValueError, match=r"DATASETS\.TEST names '\.\./\.\./.*is no file in"
            ):
                build()
    finally:
        unregister(climbing)


def test_a_label_out_of_range_is_refused(cfg, dataset, tmp_path):
    """Detectron2 alone would count it as some other class."""
    write_blocks(tmp_path / "images", tmp_path / "masks", ["a", "b"], [0, 1, 2, 7])
    evaluator = build_evaluator(cfg, dataset)
    with pytest.raises(ValueError, match=r"a\.png holds label 7"):
        evaluator.sem_seg_loading_fn(str(tmp_path / "masks" / "a.png"), dtype=int)


def test_instances_and_panoptic(cfg, monkeypatch):
    # COCO's files are read by the constructors of Detectron2's evaluators.
    for evaluator in (COCOEvaluator, COCOPanopticEvaluator, SegmentationEvaluator):
        monkeypatch.setattr(evaluator, "__init__", lambda self, *args, **kwargs: None)
    assert isinstance(build_evaluator(cfg, "coco_2017_val"), COCOEvaluator)
    panoptic = build_evaluator(cfg, "coco_2017_val_panoptic_separated")
    assert isinstance(panoptic, DatasetEvaluators)
    assert [type(evaluator) for evaluator in panoptic._evaluators] == [
        SegmentationEvaluator,
        COCOEvaluator,
        COCOPanopticEvaluator,
    ]


@pytest.mark.parametrize("kind", [None, "lvis"])
def test_an_unknown_kind(cfg, dataset, kind):
    del MetadataCatalog.get(dataset).evaluator_type
    if kind:
        MetadataCatalog.get(dataset).evaluator_type = kind
    with pytest.raises(
        ValueError, match=r"known are sem_seg, coco, coco_panoptic_seg, classification"
    ):
        build_evaluator(cfg, dataset)
