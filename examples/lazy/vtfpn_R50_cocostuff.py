"""configs/vtfpn_R50_cocostuff.yaml as a LazyConfig of Detectron2.

Train it with Detectron2's own script, from its tools/ folder:

    python lazyconfig_train_net.py --config-file examples/lazy/vtfpn_R50_cocostuff.py --num-gpus 8

The recipe is that of 8 GPUs. Nothing scales it, so for another number of GPUs change
dataloader.train.total_batch_size, optimizer.lr and train.max_iter yourself.
"""

from functools import partial

import detectron2.data.transforms as T
import torch
from detectron2.config import LazyCall as L
from detectron2.data import (
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.solver import WarmupParamScheduler
from detectron2.solver.build import get_default_optimizer_params
from fvcore.common.param_scheduler import MultiStepParamScheduler

from vt_seg.data import SemSegMapper
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.layers import VTFPN, VTConfig
from vt_seg.modeling import LossTerms, PaddingAwareSegmentor, SegmentationLoss, VTFPNHead

NUM_CLASSES, IGNORE_LABEL = 54, 255
LEVELS = {
    "res2": ShapeSpec(channels=256, stride=4),
    "res3": ShapeSpec(channels=512, stride=8),
    "res4": ShapeSpec(channels=1024, stride=16),
    "res5": ShapeSpec(channels=2048, stride=32),
}

model = L(PaddingAwareSegmentor)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=True, norm="FrozenBN"),
        out_features=list(LEVELS),
        freeze_at=2,
    ),
    sem_seg_head=L(VTFPNHead)(
        input_shape=LEVELS,
        neck=L(VTFPN)(
            in_channels=[shape.channels for shape in LEVELS.values()],
            out_channels=256,
            config=L(VTConfig)(num_tokens=8),
            norm=partial(get_norm, "SyncBN"),
        ),
        neck_channels=256,
        num_classes=NUM_CLASSES,
        conv_dims=128,
        common_stride=4,
        loss_weight=1.0,
        norm="GN",
        loss=L(LossTerms)(
            cross_entropy=L(SegmentationLoss)(num_classes=NUM_CLASSES, ignore_value=IGNORE_LABEL)
        ),
    ),
    pixel_mean=[103.530, 116.280, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
)

dataloader = dict(
    train=L(build_detection_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="coco_2017_train_panoptic_stuffonly"),
        mapper=L(SemSegMapper)(
            is_train=True,
            augmentations=[
                L(T.ResizeShortestEdge)(
                    short_edge_length=(640, 672, 704, 736, 768, 800),
                    max_size=1333,
                    sample_style="choice",
                ),
                L(T.RandomFlip)(),
            ],
            image_format="BGR",
            num_classes=NUM_CLASSES,
            ignore_label=IGNORE_LABEL,
        ),
        total_batch_size=32,
        num_workers=4,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(
            names="coco_2017_val_panoptic_stuffonly", filter_empty=False
        ),
        mapper=L(SemSegMapper)(
            is_train=False,
            augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
            image_format="${...train.mapper.image_format}",
            num_classes=NUM_CLASSES,
            ignore_label=IGNORE_LABEL,
        ),
        num_workers=4,
    ),
    evaluator=L(SegmentationEvaluator)(dataset_name="${..test.dataset.names}"),
)

optimizer = L(torch.optim.SGD)(
    params=L(get_default_optimizer_params)(weight_decay_norm=0.0),
    lr=0.04,
    momentum=0.9,
    weight_decay=1e-4,
)

lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(MultiStepParamScheduler)(
        values=[1.0, 0.1, 0.01], milestones=[60_000, 80_000, 90_000]
    ),
    warmup_length=1000 / 90_000,
    warmup_factor=0.001,
)

# What Detectron2's configs/common/train.py holds.
train = dict(
    output_dir="output/lazy_vtfpn_R50_cocostuff",
    init_checkpoint="detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    max_iter=90_000,
    amp=dict(enabled=False),
    ddp=dict(broadcast_buffers=False, find_unused_parameters=False, fp16_compression=False),
    checkpointer=dict(period=5000, max_to_keep=100),
    eval_period=5000,
    log_period=20,
    device="cuda",
)
