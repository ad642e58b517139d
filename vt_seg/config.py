"""Every configuration key that vt_seg adds to Detectron2's, with its one default."""

from detectron2.config import CfgNode as CN


def add_vt_seg_config(cfg: CN) -> None:
    """Add vt_seg's keys to a Detectron2 config, in place.

    Args:
        cfg: what ``detectron2.config.get_cfg()`` returns.
    """
    # The VT-FPN neck (paper v1 Sec. 4.2), the same for `VTFPNHead` and the VT-FPN backbones.
    # Its output channels are MODEL.FPN.OUT_CHANNELS, as it stands in the FPN's place.
    cfg.MODEL.VT_FPN = _visual_transformer_keys()
    # Each level's projector reads its "own" tokens (the paper's MACs fit) or "all" levels' tokens.
    cfg.MODEL.VT_FPN.PROJECTOR_READS = "own"

    # VT-ResNet: MODEL.RESNETS describes stages 1-4, this node the VT modules in place of stage 5.
    cfg.MODEL.VT_RESNET = _visual_transformer_keys()
    # Channels C of the feature map `res5`. Paper: 512 (18, 34) or 1024 (50, 101) in v1; 256 or
    # 1024 in v4.
    cfg.MODEL.VT_RESNET.OUT_CHANNELS = 1024

    # Resize every image to exactly this (height, width), in training and test, aspect ratio not
    # kept. () leaves resizing to MIN_SIZE_* and MAX_SIZE_*.
    cfg.INPUT.FIXED_SIZE = ()
    # "vt_seg": EXIF- and palette-aware, label-checked, label-swapping flip. "detectron2": the stock
    # DatasetMapper. "auto": the former for models that read semantic labels alone, else the latter.
    cfg.INPUT.SEM_SEG_MAPPER = "auto"

    # For SOLVER.LR_SCHEDULER_NAME "WarmupPolyLR", named as in Detectron2's DeepLab project.
    cfg.SOLVER.POLY_LR_POWER = 0.9
    # The learning rate never falls below this share of BASE_LR.
    cfg.SOLVER.POLY_LR_CONSTANT_ENDING = 0.0


def _visual_transformer_keys() -> CN:
    """Keys that any stack of Visual Transformers has; ours where the paper is silent is marked."""
    node = CN()
    # L, visual tokens per feature map. Paper: 8 (v1; VT-FPN in both), 16 (VT-ResNet in v4).
    node.NUM_TOKENS = 8
    # C_T, channels of a token. Paper: 1024 everywhere.
    node.TOKEN_CHANNELS = 1024
    # Heads of every attention (v1 App. A: 16).
    node.NUM_HEADS = 16
    # Groups of the 1x1 convolutions on pixels: values, keys, projector queries (v1 App. A: 16).
    node.PIXEL_GROUPS = 16
    # Groups of the token transformer's key, query and value convolutions (v1 App. A: 8).
    node.TOKEN_GROUPS = 8
    # Position code (v1 Eq. 2): on or off, side of the square that the attention is resized to,
    # and number of stride-2 convolutions. Size and number are ours: they fit the paper's counts.
    node.POSITION_CODE = True
    node.POSITION_SIZE = 12
    node.POSITION_DOWNSAMPLES = 1
    # Formulas of paper revision "v1" (June 2020, App. A) or "v4" (Nov 2020, Eqs. 1-5).
    node.REVISION = "v1"
    # Normalisation, any of Detectron2's names. The paper says SyncBN for VT-FPN.
    node.NORM = "SyncBN"
    return node
