"""The evaluator follows from the dataset's metadata."""

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, COCOPanopticEvaluator, DatasetEvaluators

from vt_seg.data import unregister
from vt_seg.engine import Trainer, load_cfg
from vt_seg.evaluation import SegmentationEvaluator, build_evaluator


@pytest.fixture
def cfg(tmp_path):
    return load_cfg("", ["OUTPUT_DIR", str(tmp_path / "out")])


def test_config_keys_reach_the_evaluator(cfg, register, tmp_path):
    mask = np.repeat([[0, 1, 2, 3]], 48, axis=0).repeat(16, axis=1)
    name, records = register([mask], 4)
    predicted = torch.from_numpy(mask).clamp(max=1)

    def evaluate():
        evaluator = build_evaluator(cfg, name)
        assert isinstance(evaluator, SegmentationEvaluator)
        evaluator.process(records, [{"sem_seg": predicted}])
        return evaluator.evaluate()["sem_seg"]

    predictions = tmp_path / "out" / "inference" / "sem_seg_predictions.json"
    plain = evaluate()
    assert plain["classes-in-mean"] == 4
    assert "mBoundaryIoU" not in plain
    assert not predictions.exists()
    cv2.imwrite(records[0]["sem_seg_file_name"], mask // 2)
    assert evaluate()["classes-in-mean"] == 2

    cfg.TEST.SEM_SEG.MEAN_OVER = "all"
    cfg.TEST.SEM_SEG.BOUNDARY_IOU = True
    cfg.TEST.SEM_SEG.PREDICTIONS_JSON = True
    scores = evaluate()
    assert scores["classes-in-mean"] == 4
    assert "mBoundaryIoU" in scores
    assert predictions.exists()
    cv2.imwrite(records[0]["sem_seg_file_name"], mask + 4)
    with pytest.raises(ValueError, match=r"_0\.png holds label 4"):
        evaluate()


def test_results_of_several_test_sets_lie_in_folders_of_their_own(cfg, register):
    name, records = register([], 2)
    inference = f"{cfg.OUTPUT_DIR}/inference"
    assert build_evaluator(cfg, name)._output_dir == inference
    cfg.DATASETS.TEST = (name, "another")
    assert build_evaluator(cfg, name)._output_dir == f"{inference}/{name}"
    assert build_evaluator(cfg, name, "elsewhere")._output_dir == "elsewhere"

    # Detectron2 registers any name, so that registration here is not the only guard.
    climbing = f"../../../{name}"
    DatasetCatalog.register(climbing, lambda: records)
    MetadataCatalog.get(climbing).set(
        stuff_classes=["w", "x"], ignore_label=255, evaluator_type="sem_seg"
    )
    cfg.DATASETS.TEST = (name, climbing)
    refusal = r"DATASETS\.TEST names '\.\./\.\./.*is no file in"
    try:
        with pytest.raises(ValueError, match=refusal):
            build_evaluator(cfg, climbing)
        with pytest.raises(ValueError, match=refusal):
            Trainer._build_evaluators(cfg, "EMA")
    finally:
        unregister(climbing)


def test_instance_and_panoptic_datasets(cfg, monkeypatch):
    # COCO's files are read by the constructors of Detectron2's evaluators.
    panoptic = [SegmentationEvaluator, COCOEvaluator, COCOPanopticEvaluator]
    for evaluator in panoptic:
        monkeypatch.setattr(evaluator, "__init__", lambda self, *args, **kwargs: None)
    assert isinstance(build_evaluator(cfg, "coco_2017_val"), COCOEvaluator)
    built = build_evaluator(cfg, "coco_2017_val_panoptic_separated")
    assert isinstance(built, DatasetEvaluators)
    assert [type(evaluator) for evaluator in built._evaluators] == panoptic


@pytest.mark.parametrize("kind", [None, "lvis"])
def test_unknown_evaluator_type_is_refused(cfg, register, kind):
    name, _ = register([], 2, evaluator_type=kind)
    known = r"known are sem_seg, cityscapes_sem_seg, coco, coco_panoptic_seg, classification"
    with pytest.raises(ValueError, match=known):
        build_evaluator(cfg, name)
