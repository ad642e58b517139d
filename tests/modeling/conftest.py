"""Batches and configs of detectors for small models, and a seed for each test."""

import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, Instances

from tests.small_configs import PYRAMID, small_cfg


def sem_seg_batch(*sizes: tuple[int, int], classes: int = 5) -> list[dict]:
    """Return one random image with labels per (height, width)."""
    return [
        {
            "image": torch.rand(3, *size) * 255,
            "sem_seg": torch.randint(classes, size),
            "height": size[0],
            "width": size[1],
        }
        for size in sizes
    ]


def instance_batch(size: tuple[int, int] = (64, 96)) -> list[dict]:
    """Return one random image with labels and one instance."""
    batch = sem_seg_batch(size)
    masks = torch.zeros(1, *size, dtype=torch.bool)
    masks[0, 10:40, 20:70] = True
    instances = Instances(
        size,
        gt_boxes=Boxes(torch.tensor([[20.0, 10.0, 70.0, 40.0]])),
        gt_classes=torch.tensor([1]),
        gt_masks=BitMasks(masks),
    )
    return [{**batch[0], "instances": instances}]


def detection_cfg(architecture: str) -> CfgNode:
    """Return the config of a small Mask R-CNN, Panoptic FPN or RetinaNet on a VT-FPN."""
    cfg = small_cfg()
    model = cfg.MODEL
    model.update(META_ARCHITECTURE=architecture, MASK_ON=architecture != "RetinaNet")
    cfg.INPUT.MASK_FORMAT = "bitmask"
    model.BACKBONE.NAME = "build_resnet_vt_fpn_backbone"
    model.SEM_SEG_HEAD.update(NAME="SemSegFPNHead", IN_FEATURES=PYRAMID)
    model.RPN.update(HEAD_NAME="StandardRPNHead", IN_FEATURES=[*PYRAMID, "p6"])
    model.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64], [128]]
    model.ROI_HEADS.update(NAME="StandardROIHeads", IN_FEATURES=PYRAMID, NUM_CLASSES=3)
    model.ROI_BOX_HEAD.update(NAME="FastRCNNConvFCHead", NUM_FC=1, FC_DIM=16, POOLER_RESOLUTION=7)
    model.ROI_MASK_HEAD.update(NAME="MaskRCNNConvUpsampleHead", NUM_CONV=1, CONV_DIM=16)
    return cfg


def classifier_cfg(
    backbone: str = "build_resnet_backbone", feature: str = "res5", classes: int = 7
) -> CfgNode:
    """Return the config of a small image classifier."""
    return small_cfg(
        *("MODEL.META_ARCHITECTURE", "ImageClassifier", "MODEL.BACKBONE.NAME", backbone),
        *("MODEL.RESNETS.OUT_FEATURES", [feature], "MODEL.CLASSIFIER.IN_FEATURE", feature),
        *("MODEL.CLASSIFIER.NUM_CLASSES", classes),
    )


def records(*labels: int, size: tuple[int, int] = (64, 64)) -> list[dict]:
    """Return one random image of 8 bits per label, for a classifier."""
    return [
        {
            "image": torch.randint(256, (3, *size), dtype=torch.uint8),
            "label": label,
            "file_name": f"{i}.jpg",
        }
        for i, label in enumerate(labels)
    ]


def wake(module: torch.nn.Module) -> torch.nn.Module:
    """Give zero-initialised scales a value, so that every branch shows in the output."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.5)
    return module
