"""What an exported file says of itself: classes, colours, input, output, config."""

import json
from collections.abc import Mapping
from typing import Any

import vt_seg
from detectron2.config import CfgNode
from detectron2.data import Metadata

# Keys that name files of the machine, with the value that stands for none.
_PATHS: dict[str, Any] = {
    "MODEL.WEIGHTS": "",
    "MODEL.TIMM.WEIGHTS": "",
    "MODEL.TIMM.PRETRAINED": False,
    "OUTPUT_DIR": "",
    "DATASETS.CUSTOM": [],
    "DATASETS.TRAIN": (),
    "DATASETS.TEST": (),
}


def export_metadata(cfg: CfgNode, metadata: Metadata, output: str) -> dict[str, str]:
    """Return what a file says of itself; lists and numbers are JSON.

    Args:
        cfg: the model's config.
        metadata: of a dataset: class names, colours and the ignore label, as far as it has them.
        output: "labels" or "logits".
    """
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    names = list(metadata.get("stuff_classes", ()))
    if len(names) != num_classes:  # of a model for another dataset
        names = [str(label) for label in range(num_classes)]
    colors = metadata.get("stuff_colors", ())
    if len(colors) != num_classes:
        colors = vt_seg.data.distinct_colors(num_classes)
    values = {
        "classes": names,
        "colors": [[int(value) for value in color] for color in colors],
        "ignore_label": metadata.get("ignore_label", cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE),
        "channels": "RGB" if cfg.INPUT.FORMAT in ("RGB", "BGR") else cfg.INPUT.FORMAT,
        "trained_with": cfg.INPUT.FORMAT,
        "output": output,
        "min_size_test": cfg.INPUT.MIN_SIZE_TEST,
        "max_size_test": cfg.INPUT.MAX_SIZE_TEST,
    }
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    return texts | {"config": config_without_paths(cfg), "vt_seg": vt_seg.__version__}


def config_without_paths(cfg: CfgNode) -> str:
    """Return a config as YAML without the names of folders, files and datasets."""
    cfg = cfg.clone()
    cfg.defrost()
    for key, value in _PATHS.items():
        *nodes, name = key.split(".")
        node = cfg
        for each in nodes:
            node = node[each]
        node[name] = value
    return cfg.dump()


def parse_metadata(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata of a file with its lists and numbers; raise ValueError if some lack."""
    lists = ("classes", "colors", "ignore_label", "min_size_test", "max_size_test")
    missing = [key for key in (*lists, "channels", "output") if key not in texts]
    if missing:
        raise ValueError(f"the file lacks the metadata {missing}: export it with vt_seg")
    return {key: json.loads(value) if key in lists else value for key, value in texts.items()}
