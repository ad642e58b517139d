"""Detectron2 components made of the layers; importing this registers them."""

from .checkpointing import add_checkpointing, running_statistics_kept, wants_checkpointing
from .data_parallel import broadcast_buffers, data_parallel, unwrapped
from .image_classifier import ImageClassifier
from .losses import LossTerms, SegmentationLoss
from .padding_aware_segmentor import (
    PaddingAwareSegmentor,
    map_by_size,
    normalized_images,
    padding_mask,
)
from .resampling import average_pool, ceil_div, upsample
from .sem_seg_fpn_loss_head import SemSegFPNLossHead
from .stochastic_depth import add_stochastic_depth
from .timm_backbone import TimmBackbone
from .unwarping_segmentor import UnwarpingSemanticSegmentor
from .vt_config import NORM_LAYERS
from .vt_fpn_backbone import VTFPNBackbone
from .vt_fpn_head import ScaleHead, VTFPNHead
from .vt_resnet import VisualTransformerStage, VTResNet

__all__ = [
    "NORM_LAYERS",
    "ImageClassifier",
    "LossTerms",
    "PaddingAwareSegmentor",
    "ScaleHead",
    "SegmentationLoss",
    "SemSegFPNLossHead",
    "TimmBackbone",
    "UnwarpingSemanticSegmentor",
    "VTFPNBackbone",
    "VTFPNHead",
    "VTResNet",
    "VisualTransformerStage",
    "add_checkpointing",
    "add_stochastic_depth",
    "average_pool",
    "broadcast_buffers",
    "ceil_div",
    "data_parallel",
    "map_by_size",
    "normalized_images",
    "padding_mask",
    "running_statistics_kept",
    "unwrapped",
    "upsample",
    "wants_checkpointing",
]
