"""Small models from Detectron2 configs, without weights (ResNet-18, narrow neck)."""

import pytest
import torch
from detectron2.config import CfgNode, get_cfg

from vt_seg import add_vt_seg_config

RES = ["res2", "res3", "res4", "res5"]
PYRAMID = ["p2", "p3", "p4", "p5"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def small_cfg() -> CfgNode:
    """ResNet-18 with a neck of 32 channels and 4 tokens a level, BN throughout, on the CPU."""
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    cfg.merge_from_list(
        # fmt: off
        [
            "MODEL.DEVICE",
            "cpu",
            "MODEL.META_ARCHITECTURE",
            "SemanticSegmentor",
            "MODEL.BACKBONE.NAME",
            "build_resnet_backbone",
            "MODEL.BACKBONE.FREEZE_AT",
            0,
            "MODEL.RESNETS.DEPTH",
            18,
            "MODEL.RESNETS.RES2_OUT_CHANNELS",
            64,
            "MODEL.RESNETS.NORM",
            "BN",
            "MODEL.RESNETS.OUT_FEATURES",
            RES,
            "MODEL.FPN.IN_FEATURES",
            RES,
            "MODEL.FPN.OUT_CHANNELS",
            32,
            "MODEL.SEM_SEG_HEAD.NAME",
            "VTFPNHead",
            "MODEL.SEM_SEG_HEAD.IN_FEATURES",
            RES,
            "MODEL.SEM_SEG_HEAD.CONVS_DIM",
            64,
            "MODEL.SEM_SEG_HEAD.NUM_CLASSES",
            5,
            "MODEL.VT_FPN.TOKEN_CHANNELS",
            64,
            "MODEL.VT_FPN.NUM_TOKENS",
            4,
            "MODEL.VT_FPN.NORM",
            "BN",
            "MODEL.VT_RESNET.TOKEN_CHANNELS",
            64,
            "MODEL.VT_RESNET.OUT_CHANNELS",
            32,
            "MODEL.VT_RESNET.NORM",
            "BN",
        ]
        # fmt: on
    )
    return cfg


def sem_seg_batch(*sizes: tuple[int, int], classes: int = 5) -> list[dict]:
    """One random image with labels per (height, width)."""
    return [
        {
            "image": torch.rand(3, *size) * 255,
            "sem_seg": torch.randint(classes, size),
            "height": size[0],
            "width": size[1],
        }
        for size in sizes
    ]


def wake(module: torch.nn.Module) -> torch.nn.Module:
    """Give zero-initialised scales a value, so that every branch shows in the output."""
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.normal_(std=0.5)
    return module
