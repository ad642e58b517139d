"""From a config file and ``KEY VALUE`` overrides to the frozen config of a run."""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator

from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_setup
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from vt_seg.config import add_vt_seg_config
from vt_seg.config_file import merge_config_file, merge_overrides
from vt_seg.data import register_from_config
from vt_seg.modeling import PaddingAwareSegmentor
from vt_seg.modeling.padding_aware_segmentor import check_output

from .config_check import check_config, check_has_datasets, check_output_folder
from .dataset_check import check_datasets, check_labelled
from .devices import adapt_to_machine, check_launcher
from .optimizer import replace_old_optimizer_key, with_new_optimizer_key
from .run_folder import keep_earlier_config, refuse_earlier_run
from .run_lock import lock_run_folder

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
        FileNotFoundError: if there is no such file.
        ValueError: if the file, or one that it inherits, is no regular file; if it or an override
            would run code, cannot be read, or names a key or a value that does not exist (see
            `vt_seg.config_file` and :func:`check_config`).
        FileNotFoundError, ValueError: an entry of ``DATASETS.CUSTOM`` is not right.
        ValueError: the model cannot give ``MODEL.SEM_SEG_HEAD.OUTPUT``.
    """
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    if config_file:
        merge_config_file(cfg, config_file)
        replace_old_optimizer_key(cfg)
    merge_overrides(cfg, with_new_optimizer_key(overrides or []))
    check_config(cfg)
    _check_output(cfg)
    try:
        register_from_config(cfg.DATASETS.CUSTOM)
    except TypeError as error:  # a number where a folder is meant, for example
        raise ValueError(str(error)) from error
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
        FileNotFoundError, ValueError: the config is not right (see :func:`load_cfg`).
        ValueError: another launcher than Detectron2's started several processes, config and
            datasets do not fit (see :func:`check_datasets`), or nothing is labelled in a dataset to
            train on (see :func:`check_labelled`); or ``OUTPUT_DIR`` cannot be written into.
        FileExistsError: training without ``args.resume`` in a folder that has checkpoints, or
            training in a folder in which another process trains.
    """
    check_launcher(getattr(args, "num_machines", 1))
    cfg = load_cfg(args.config_file, args.opts)
    is_train = not getattr(args, "eval_only", False)
    check_output_folder(cfg.OUTPUT_DIR)
    check_has_datasets(cfg, is_train=is_train)
    check_datasets(cfg, is_train=is_train)
    if is_train:
        check_labelled(cfg)
    wants_gpu = getattr(args, "num_gpus", 1) > 0
    notes = adapt_to_machine(cfg, world_size=comm.get_world_size(), wants_gpu=wants_gpu)
    cfg.freeze()
    if is_train:
        is_new = not getattr(args, "resume", False)
        if is_new:  # before the folder is touched
            refuse_earlier_run(cfg.OUTPUT_DIR)
        lock_run_folder(cfg.OUTPUT_DIR)
        if is_new:  # by a run that ended in between
            refuse_earlier_run(cfg.OUTPUT_DIR)
    if is_train and comm.is_main_process():
        keep_earlier_config(cfg.OUTPUT_DIR, cfg.dump())
    with contextlib.nullcontext() if is_train else _trained_config_kept(cfg.OUTPUT_DIR):
        default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="vt_seg")
    for note in notes:
        logger.info(note)
    return cfg


@contextlib.contextmanager
def _trained_config_kept(folder: str) -> Iterator[None]:
    """Leave a ``config.yaml`` in place that Detectron2's ``default_setup`` replaces by its own.

    What that writes for an evaluation goes to ``inference/config.yaml``, beside the results.
    """
    kept = keep_earlier_config(folder, "") if comm.is_main_process() else ""
    try:
        yield
    finally:
        if kept:
            path = os.path.join(folder, "config.yaml")
            if os.path.isfile(path):
                os.makedirs(os.path.join(folder, "inference"), exist_ok=True)
                os.replace(path, os.path.join(folder, "inference", "config.yaml"))
            os.replace(kept, path)
