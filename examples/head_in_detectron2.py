"""Train VTFPNHead in Detectron2's own trainer on a tiny dataset, then predict an image.

The dataset, squares to be told from their background, is written first. Run it with

    python examples/head_in_detectron2.py [folder]
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor, DefaultTrainer

import vt_seg
from vt_seg.data import register_sem_seg


def write_dataset(folder: Path) -> None:
    """Write eight images with a bright square each, and masks of 0 (background) and 1 (square)."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(8):
        image, mask = random.integers(0, 100, (64, 96, 3)), np.zeros((64, 96), np.uint8)
        y, x = random.integers(0, 32), random.integers(0, 64)
        image[y : y + 32, x : x + 32] += 150
        mask[y : y + 32, x : x + 32] = 1
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), mask)


def main(folder: Path) -> None:
    """Write the dataset, train on it and print how many pixels of an image are right."""
    write_dataset(folder)
    classes = ["background", "square"]
    register_sem_seg("squares", folder / "images", folder / "masks", classes)

    cfg = get_cfg()
    vt_seg.add_vt_seg_config(cfg)
    levels = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.RESNETS.NORM = "GN"
    cfg.MODEL.RESNETS.OUT_FEATURES = levels
    cfg.MODEL.SEM_SEG_HEAD.NAME = "VTFPNHead"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = levels
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(classes)
    cfg.MODEL.SEM_SEG_HEAD.NORM = "GN"
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("squares",), ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (64,), 64
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 4, 20, 0.02
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.OUTPUT_DIR, cfg.SEED = str(folder / "output"), 1

    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()

    cfg.MODEL.WEIGHTS = str(folder / "output" / "model_final.pth")
    logits = DefaultPredictor(cfg)(cv2.imread(str(folder / "images" / "0.png")))["sem_seg"]
    mask = cv2.imread(str(folder / "masks" / "0.png"), cv2.IMREAD_GRAYSCALE)
    print(f"{(logits.argmax(0).numpy() == mask).mean():.1%} of the pixels are right")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "output/squares"))
