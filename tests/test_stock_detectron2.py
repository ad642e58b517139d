"""Our parts in Detectron2's own, unmodified trainer, predictor and evaluator."""

import cv2
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor, DefaultTrainer
from detectron2.evaluation import SemSegEvaluator
from detectron2.modeling import SemanticSegmentor

import vt_seg
from tests.tiny_datasets import write_tiny_scenes

RES, PYRAMID = ["res2", "res3", "res4", "res5"], ["p2", "p3", "p4", "p5"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Tiny vt_scenes, registered while the tests run."""
    root = tmp_path_factory.mktemp("datasets")
    write_tiny_scenes(root)
    vt_seg.register_all_datasets(str(root))
    yield root / "vt_scenes"
    vt_seg.register_all_datasets()


def stock_cfg(output_dir, backbone, head, in_features):
    """Detectron2's defaults with our parts named in them, for two iterations on the CPU."""
    cfg = get_cfg()
    vt_seg.add_vt_seg_config(cfg)
    cfg.merge_from_list(
        [
            *("OUTPUT_DIR", str(output_dir), "MODEL.DEVICE", "cpu", "SEED", 1),
            *("MODEL.META_ARCHITECTURE", "SemanticSegmentor", "MODEL.BACKBONE.NAME", backbone),
            *("MODEL.SEM_SEG_HEAD.NAME", head, "MODEL.SEM_SEG_HEAD.IN_FEATURES", in_features),
            *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 14, "MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64),
            *("MODEL.RESNETS.NORM", "BN", "MODEL.RESNETS.OUT_FEATURES", RES),
            *("MODEL.FPN.IN_FEATURES", RES, "MODEL.FPN.OUT_CHANNELS", 32),
            *("MODEL.VT_FPN.TOKEN_CHANNELS", 64, "DATALOADER.NUM_WORKERS", 0),
            *("DATASETS.TRAIN", ("vt_scenes_train",), "DATASETS.TEST", ()),
            *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MIN_SIZE_TEST", 64),
            *("SOLVER.IMS_PER_BATCH", 4, "SOLVER.MAX_ITER", 2),
        ]
    )
    return cfg


@pytest.mark.parametrize(
    ("backbone", "head", "in_features"),
    [
        ("build_resnet_backbone", "VTFPNHead", RES),
        ("build_resnet_vt_fpn_backbone", "SemSegFPNHead", PYRAMID),
    ],
)
def test_default_trainer_predictor_and_evaluator(scenes, tmp_path, backbone, head, in_features):
    cfg = stock_cfg(tmp_path, backbone, head, in_features)
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
    for path in sorted((scenes / "images" / "val").glob("*.jpg")):
        labels = predictor(cv2.imread(str(path)))["sem_seg"].argmax(0).numpy()
        truth = cv2.imread(str(scenes / "stuffthingmaps" / "val" / f"{path.stem}.png"), 0)
        right += ((labels == truth) & (truth != 255)).sum()
        labelled += (truth != 255).sum()
    # The predictor loaded the trained weights, and the evaluator counted the same pixels.
    assert scores["pACC"] == pytest.approx(100 * right / labelled, abs=1e-9)
