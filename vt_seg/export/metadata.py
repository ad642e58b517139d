"""What an exported file says of itself: classes, colours, input, output, config."""

import json

from detectron2.config import CfgNode
from detectron2.data import Metadata

import vt_seg
from vt_seg.config_without_paths import config_without_paths
from vt_seg.data import distinct_colors


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
        colors = distinct_colors(num_classes)
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
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }
    return texts | {"config": config_without_paths(cfg).dump(), "vt_seg": vt_seg.__version__}
