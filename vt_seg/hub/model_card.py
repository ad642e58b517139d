"""The model card of a handed-over model, as the Hugging Face Hub shows it."""

import math
import re
from collections.abc import Mapping, Sequence

from detectron2.config import CfgNode

_MEANS = ("mIoU", "mIoU-context", "mIoU-local", "fwIoU", "mACC", "pACC")


def model_card(
    cfg: CfgNode, class_names: Sequence[str], results: Mapping[str, Mapping[str, float]]
) -> str:
    """Return Markdown: what the model is, how to use it, and its scores.

    Args:
        cfg: the config.
        class_names: one per class.
        results: of :func:`vt_seg.engine.evaluate` on one dataset; {} if there are none.
    """
    neck = f"{cfg.MODEL.SEM_SEG_HEAD.NAME} on {cfg.MODEL.BACKBONE.NAME}"
    scores = results.get("sem_seg", {})
    return f"""---
library_name: vt_seg
pipeline_tag: image-segmentation
tags: [semantic-segmentation, detectron2, visual-transformers]
---

# {cfg.MODEL.META_ARCHITECTURE}: {neck}

Semantic segmentation with {len(class_names)} classes, trained on {_listed(cfg.DATASETS.TRAIN)} for
{cfg.SOLVER.MAX_ITER} iterations of {cfg.SOLVER.IMS_PER_BATCH} images. VT-FPN is the neck of *Visual
Transformers* (Wu et al., arXiv 2006.03677).

## Use

```python
import vt_seg

predictor = vt_seg.Predictor("this folder, or its id on the Hub")
label_map = predictor("image.jpg")  # (H, W)
```

Labels are indices into the classes below. `config.yaml` has every setting, `classes.json` the
colours and the order and normalisation of the channels.

## Evaluation

{_evaluation(cfg, class_names, scores)}

## Classes

{", ".join(f"{index} {_as_text(name)}" for index, name in enumerate(class_names))}
"""


def _evaluation(cfg: CfgNode, class_names: Sequence[str], scores: Mapping[str, float]) -> str:
    if not scores:
        return "Not evaluated when this card was written."
    rows = [(key, scores[key]) for key in _MEANS if key in scores]
    rows += [(f"IoU {_as_text(name)}", scores.get(f"IoU-{name}", math.nan)) for name in class_names]
    table = "\n".join(f"| {name} | {_percent(value)} |" for name, value in rows)
    return f"On {_listed(cfg.DATASETS.TEST)}, in percent:\n\n| score | |\n|---|--:|\n{table}"


def _percent(value: float) -> str:
    return "absent" if math.isnan(value) else f"{value:.2f}"


def _as_text(name: str) -> str:
    """Return a class's name so that Markdown shows it as it is, on one line."""
    return re.sub(r"([\\`*_\[\]<>&#|~$])", r"\\\1", " ".join(name.split()))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no dataset"
