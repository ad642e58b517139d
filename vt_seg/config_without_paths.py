"""A config without what means something on one machine alone: names of its files and folders."""

import os
from typing import Any

from detectron2.config import CfgNode

# Keys that name files or ask for a download, with the value that stands for none.
_PATHS: dict[str, Any] = {
    "MODEL.WEIGHTS": "",
    "MODEL.TIMM.WEIGHTS": "",
    "MODEL.TIMM.PRETRAINED": False,
    "MODEL.CLASSIFIER.DISTILLATION.WEIGHTS": "",
    "DATASETS.CUSTOM": [],
    "OUTPUT_DIR": "",
}


def config_without_paths(cfg: CfgNode) -> CfgNode:
    """Return a copy of a config, not frozen, without the names of folders and files."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.merge_from_list([part for pair in _PATHS.items() for part in pair])
    cfg.VT_SEG.IMPORT = [os.path.basename(name) for name in cfg.VT_SEG.IMPORT]
    return cfg
