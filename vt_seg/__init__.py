"""Visual Transformers (Wu et al., arXiv 2006.03677) for semantic segmentation, in Detectron2.

Importing this package registers its models and datasets with Detectron2. A config needs one line
more: ``vt_seg.add_vt_seg_config(cfg)``.
"""

from vt_seg.detectron2_import import import_detectron2

import_detectron2()

from vt_seg import model_zoo, modeling  # noqa: E402, F401  (`modeling` registers the models)
from vt_seg.config import add_vt_seg_config  # noqa: E402
from vt_seg.data import register_all_datasets  # noqa: E402

register_all_datasets()

__version__ = "0.2.0.dev0"
__all__ = ["Predictor", "add_vt_seg_config", "model_zoo", "register_all_datasets"]


def __getattr__(name: str) -> object:
    """Import ``vt_seg.Predictor``, with all that draws and evaluates, when it is first used."""
    if name != "Predictor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vt_seg.prediction import Predictor

    return Predictor
