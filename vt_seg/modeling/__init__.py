"""Detectron2 components made of the layers; importing this registers them."""

from .padding_aware_segmentor import PaddingAwareSegmentor
from .vt_fpn_backbone import VTFPNBackbone
from .vt_fpn_head import VTFPNHead
from .vt_resnet import VTResNet

__all__ = ["PaddingAwareSegmentor", "VTFPNBackbone", "VTFPNHead", "VTResNet"]
