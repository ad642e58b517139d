"""Detectron2 components made of the layers; importing this registers them."""

from .image_classifier import ImageClassifier
from .losses import SegmentationLoss
from .padding_aware_segmentor import PaddingAwareSegmentor
from .sem_seg_fpn_loss_head import SemSegFPNLossHead
from .stochastic_depth import add_stochastic_depth
from .timm_backbone import TimmBackbone
from .unwarping_segmentor import UnwarpingSemanticSegmentor
from .vt_config import NORM_LAYERS
from .vt_fpn_backbone import VTFPNBackbone
from .vt_fpn_head import VTFPNHead
from .vt_resnet import VTResNet

__all__ = [
    "NORM_LAYERS",
    "ImageClassifier",
    "PaddingAwareSegmentor",
    "SegmentationLoss",
    "SemSegFPNLossHead",
    "TimmBackbone",
    "UnwarpingSemanticSegmentor",
    "VTFPNBackbone",
    "VTFPNHead",
    "VTResNet",
    "add_stochastic_depth",
]
