"""What ``MODEL.RESNETS`` and ``MODEL.BACKBONE`` of the known backbones cannot be, in sentences."""

from collections.abc import Iterator

from detectron2.config import CfgNode

from vt_seg.modeling.vt_resnet import LAYERS_PER_DEPTH

_VT_RESNET = "build_vt_resnet_backbone"
_RESNETS = (
    "build_resnet_backbone",
    "build_resnet_fpn_backbone",
    "build_retinanet_resnet_fpn_backbone",
    "build_resnet_vt_fpn_backbone",
    "build_retinanet_resnet_vt_fpn_backbone",
)
_TIMM = ("build_timm_backbone", "build_timm_fpn_backbone", "build_timm_vt_fpn_backbone")
_DEPTHS = (18, 34, 50, 101, 152)
_STAGES = ("stem", "res2", "res3", "res4", "res5")
_LAST_STAGE = 5


def backbone_problems(cfg: CfgNode) -> Iterator[str]:
    """Yield a sentence for each key of a ResNet, VT-ResNet or timm backbone that cannot be.

    Backbones of others read these keys as they like.
    """
    name, resnets, freeze_at = (
        cfg.MODEL.BACKBONE.NAME,
        cfg.MODEL.RESNETS,
        cfg.MODEL.BACKBONE.FREEZE_AT,
    )
    if name not in (*_RESNETS, _VT_RESNET, *_TIMM):
        return
    if freeze_at not in range(_LAST_STAGE + 1):
        yield (
            f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}: set 0 to freeze nothing, 1 for the stem, to "
            f"{_LAST_STAGE} for all stages"
        )
    if name in _TIMM:
        return
    depths = tuple(LAYERS_PER_DEPTH) if name == _VT_RESNET else _DEPTHS
    if resnets.DEPTH not in depths:
        yield (f"MODEL.RESNETS.DEPTH is {resnets.DEPTH}: {name} has {', '.join(map(str, depths))}")
    stages = (*_STAGES, "tokens") if name == _VT_RESNET else _STAGES
    if not resnets.OUT_FEATURES or not all(feature in stages for feature in resnets.OUT_FEATURES):
        yield (
            f"MODEL.RESNETS.OUT_FEATURES is {resnets.OUT_FEATURES}: name one or more of "
            f"{', '.join(stages)}, which {name} has"
        )
