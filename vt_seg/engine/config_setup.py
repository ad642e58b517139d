"""From a config file and ``KEY VALUE`` overrides to the frozen config of a run."""

import argparse
import logging

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from vt_seg.config import add_vt_seg_config
from vt_seg.data import register_from_config
from vt_seg.modeling import PaddingAwareSegmentor
from vt_seg.modeling.output_choice import check_output

from .dataset_check import check_datasets
from .devices import adapt_to_machine
from .run_folder import keep_earlier_config, refuse_earlier_run

logger = logging.getLogger(__name__)


def load_cfg(config_file: str, overrides: list[str] | None = None) -> CfgNode:
    """Detectron2's defaults, then vt_seg's, then the file, then the overrides.

    Registers the datasets of ``DATASETS.CUSTOM``.

    Args:
        config_file: a YAML file; "" for the defaults alone.
        overrides: ``["KEY", "VALUE", ...]``.

    Returns:
        the config, not frozen and not yet adapted to the machine.

    Raises:
        FileNotFoundError, TypeError, ValueError: an entry of ``DATASETS.CUSTOM`` is not right.
        ValueError: the model cannot give ``MODEL.SEM_SEG_HEAD.OUTPUT``.
    """
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    if config_file:
        cfg.merge_from_file(config_file)
    cfg.merge_from_list(overrides or [])
    _check_output(cfg)
    register_from_config(cfg.DATASETS.CUSTOM)
    return cfg


def _check_output(cfg: CfgNode) -> None:
    """Refuse ``SEM_SEG_HEAD.OUTPUT`` and ``CHANNELS_LAST`` where the model passes over them."""
    output, name = cfg.MODEL.SEM_SEG_HEAD.OUTPUT, cfg.MODEL.META_ARCHITECTURE
    check_output(output)
    asked = f"MODEL.SEM_SEG_HEAD.OUTPUT {output}" if output != "logits" else ""
    if cfg.MODEL.CHANNELS_LAST:
        asked = asked or "MODEL.CHANNELS_LAST True"
    if not asked or name not in META_ARCH_REGISTRY:  # of an unknown name Detectron2 says so
        return
    model = META_ARCH_REGISTRY.get(name)
    if not (isinstance(model, type) and issubclass(model, PaddingAwareSegmentor)):
        raise ValueError(
            f"{asked} is for MODEL.META_ARCHITECTURE "
            "PaddingAwareSegmentor or UnwarpingSemanticSegmentor, which read what "
            f"SemanticSegmentor reads; {name} passes over it"
        )


def setup_cfg(args: argparse.Namespace) -> CfgNode:
    """The config of a training or evaluation run; sets up logging, seed and output folder too.

    Args:
        args: of Detectron2's ``default_argument_parser``: ``config_file``, ``opts``, ``num_gpus``,
            ``eval_only``, ``resume``.

    Returns:
        the frozen config, adapted to the machine (see :func:`adapt_to_machine`).

    Raises:
        ValueError: config and datasets do not fit (see :func:`check_datasets`).
        FileExistsError: training without ``args.resume`` in a folder that has checkpoints.
    """
    cfg = load_cfg(args.config_file, args.opts)
    check_datasets(cfg, is_train=not getattr(args, "eval_only", False))
    wants_gpu = getattr(args, "num_gpus", 1) > 0
    notes = adapt_to_machine(cfg, world_size=comm.get_world_size(), wants_gpu=wants_gpu)
    cfg.freeze()
    if not getattr(args, "eval_only", False) and not getattr(args, "resume", False):
        refuse_earlier_run(cfg.OUTPUT_DIR)
    if comm.is_main_process():
        keep_earlier_config(cfg.OUTPUT_DIR, cfg.dump())
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="vt_seg")
    for note in notes:
        logger.info(note)
    return cfg
