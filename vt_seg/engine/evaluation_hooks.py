"""The hooks that follow an evaluation: its loss, its pictures, and the best checkpoint."""

from collections.abc import Iterator, Mapping
from functools import partial

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.engine.hooks import EvalHook
from detectron2.utils import comm
from torch import nn

from .evaluation_pictures import EvaluationPictures
from .tasks import task_of
from .validation_loss import validation_loss


def loss_and_picture_hooks(cfg: CfgNode, models: Mapping[str, nn.Module]) -> Iterator[HookBase]:
    """Yield the hooks of ``TEST.LOSS`` and ``TEST.PICTURES``.

    Args:
        cfg: the config of the run.
        models: by suffix of the names of their scores: "" and "_EMA".
    """
    period = cfg.TEST.EVAL_PERIOD
    for suffix, model in models.items():
        if cfg.TEST.LOSS:
            yield EvalHook(period, partial(validation_loss, cfg, model, suffix))
        if cfg.TEST.PICTURES > 0 and task_of(cfg).is_segmentation:
            pictures = EvaluationPictures(cfg, cfg.TEST.PICTURES, suffix)
            # The others wait for the main process.
            put = partial(pictures.put, model) if comm.is_main_process() else _nothing
            yield EvalHook(period, put)


def _nothing() -> None:
    pass
