"""Our parts in Detectron2's own, unmodified trainer, predictor and evaluator."""

import cv2
import pytest
import torch
from detectron2.engine import DefaultPredictor, DefaultTrainer
from detectron2.evaluation import SemSegEvaluator
from detectron2.modeling import SemanticSegmentor

from tests.engine.conftest import scenes_root  # noqa: F401  (a fixture)
from tests.small_configs import PYRAMID, RES, small_cfg


@pytest.mark.parametrize(
    ("backbone", "head", "in_features"),
    [
        ("build_resnet_backbone", "VTFPNHead", RES),
        ("build_resnet_vt_fpn_backbone", "SemSegFPNHead", PYRAMID),
    ],
)
def test_default_trainer_predictor_and_evaluator(
    scenes_root,  # noqa: F811
    tmp_path,
    backbone,
    head,
    in_features,
):
    cfg = small_cfg(
        *("OUTPUT_DIR", str(tmp_path), "SEED", 1, "MODEL.BACKBONE.NAME", backbone),
        *("MODEL.SEM_SEG_HEAD.NAME", head, "MODEL.SEM_SEG_HEAD.IN_FEATURES", in_features),
        *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 14, "DATALOADER.NUM_WORKERS", 0),
        *("DATASETS.TRAIN", ("vt_scenes_train",), "DATASETS.TEST", ()),
        *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64),
        *("SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 2),
    )
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    assert type(trainer.model) is SemanticSegmentor
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    trainer.train()
    moved = [k for k, v in trainer.model.named_parameters() if not torch.equal(v, before[k])]
    assert any("neck" in name for name in moved)

    cfg.DATASETS.TEST = ("vt_scenes_val",)
    evaluator = SemSegEvaluator("vt_scenes_val", distributed=False)
    scores = DefaultTrainer.test(cfg, trainer.model, evaluator)["sem_seg"]

    cfg.MODEL.WEIGHTS = str(tmp_path / "model_final.pth")
    predictor = DefaultPredictor(cfg)
    right = labelled = 0
    scenes = scenes_root / "vt_scenes"
    for path in sorted((scenes / "images" / "val").glob("*.jpg")):
        labels = predictor(cv2.imread(str(path)))["sem_seg"].argmax(0).numpy()
        truth = cv2.imread(str(scenes / "stuffthingmaps" / "val" / f"{path.stem}.png"), 0)
        right += ((labels == truth) & (truth != 255)).sum()
        labelled += (truth != 255).sum()
    # The predictor loaded the trained weights, and the evaluator counted the same pixels.
    assert scores["pACC"] == pytest.approx(100 * right / labelled, abs=1e-9)
