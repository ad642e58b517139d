"""From a config file and ``KEY VALUE`` overrides to a run that is set up: config, logs, folder."""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from logging.handlers import MemoryHandler

import yaml
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from vt_seg.checkpoint import require_readable_weights
from vt_seg.config import default_config
from vt_seg.config_file import asked_imports, flat_keys, merge_config_file, merge_overrides
from vt_seg.data import register_from_config
from vt_seg.files import write_atomically
from vt_seg.user_modules import add_user_keys, import_modules, require_imported

from .adapt_to_machine import adapt_to_machine
from .config_check import check_config
from .linear_lr_scaling import scale_recipe
from .process_group import check_joined, in_main_process
from .restarts import is_restarted, note_launch
from .run_folder import check_output_folder, has_checkpoint, keep_earlier_config, refuse_earlier_run
from .run_lock import lock_run_folder
from .tasks import task_of

logger = logging.getLogger(__name__)

ADAPTED_FILE = "adapted_to_machine.yaml"


def load_cfg(
    config_file: str, overrides: list[str] | None = None, imports: Sequence[str] = ()
) -> CfgNode:
    """Return Detectron2's defaults, vt_seg's, the YAML file's and the overrides, merged in order.

    Registers ``DATASETS.CUSTOM``. The config is not frozen and not yet adapted to the machine.
    ``imports`` are modules of a user, which are imported first and may add keys (see
    `vt_seg.user_modules`); those that the file asks for by ``VT_SEG.IMPORT`` must be among them.

    Raises:
        FileNotFoundError: if a file, a module or a folder of ``DATASETS.CUSTOM`` is missing.
        ValueError: if a file or an override cannot be read, would run code, or has a wrong key or
            value (see `vt_seg.config_file` and :func:`check_config`); or if a module cannot be
            imported, or is asked for by the config and not among ``imports``.
    """
    cfg = default_config()
    import_modules(imports)
    asked = asked_imports(config_file) if config_file else []
    require_imported(asked, config_file)
    add_user_keys(cfg, [*imports, *asked])
    if config_file:
        merge_config_file(cfg, config_file)
    merge_overrides(cfg, overrides or [])
    require_imported(cfg.VT_SEG.IMPORT, "overrides")
    cfg.VT_SEG.IMPORT = list(dict.fromkeys([*imports, *cfg.VT_SEG.IMPORT]))
    check_config(cfg)
    register_from_config(cfg.DATASETS.CUSTOM)
    return cfg


@contextlib.contextmanager
def _warnings_kept_for_log() -> Iterator[None]:
    """Hold warnings back while no handler takes them, so that ``log.txt`` has them too."""
    package = logging.getLogger("vt_seg")
    kept = MemoryHandler(capacity=10_000, flushLevel=logging.CRITICAL + 1)
    kept.setLevel(logging.WARNING)
    if not package.hasHandlers():
        package.addHandler(kept)
    try:
        yield
    finally:
        package.removeHandler(kept)
        for record in kept.buffer:
            package.handle(record)


@_warnings_kept_for_log()
def setup_cfg(args: argparse.Namespace) -> CfgNode:
    """Return the frozen config of a run; set up logging, seed and output folder.

    ``config.yaml`` gets what was asked for, and ``adapted_to_machine.yaml`` next to it what differs
    on this machine, so that the former means the same on another one. ``args`` are those of
    Detectron2's ``default_argument_parser``; ``args.resume`` becomes True in a process that its
    launcher has restarted (:func:`is_restarted`).

    Raises:
        FileNotFoundError: if a config file or a dataset's folder is missing.
        ValueError: if the config is wrong (see :func:`load_cfg`), or its datasets, weights or
            output folder cannot be used; or if a launcher's processes are not joined.
        FileExistsError: when training without ``args.resume`` in a folder that has checkpoints, or
            training in a folder in which another process trains.
    """
    check_joined(getattr(args, "num_machines", 1))
    cfg = load_cfg(args.config_file, args.opts, getattr(args, "imports", ()))
    is_train = not getattr(args, "eval_only", False)
    check_output_folder(cfg.OUTPUT_DIR)
    task = task_of(cfg)
    task.check_datasets(is_train=is_train)
    if is_train:
        task.check_labelled()
        task.build_mapper(is_train=True)  # which knows whether the augmentations can be built
    resumes = getattr(args, "resume", False) or (is_train and is_restarted(cfg.OUTPUT_DIR))
    args.resume = resumes
    if not (resumes and has_checkpoint(cfg.OUTPUT_DIR)):
        require_readable_weights(cfg.MODEL.WEIGHTS)
    asked = cfg.clone()
    world_size, wants_gpu = comm.get_world_size(), getattr(args, "num_gpus", 1) > 0
    notes = adapt_to_machine(cfg, world_size=world_size, wants_gpu=wants_gpu)
    used = scale_recipe(cfg, world_size) if is_train else cfg
    notes += in_main_process(lambda: task.check_files(is_train=is_train))
    cfg.freeze()
    folder = cfg.OUTPUT_DIR
    if is_train:
        if not resumes:  # before the folder is touched
            refuse_earlier_run(folder)
        lock_run_folder(folder)
        if not resumes:  # a run may have ended in between
            refuse_earlier_run(folder)
            note_launch(folder)
        if comm.is_main_process():
            keep_earlier_config(folder, asked.dump())
    with contextlib.nullcontext(folder) if is_train else _trained_config_kept(folder) as folder:
        default_setup(asked, args)  # which reads none of the keys that are adapted
    if comm.is_main_process():
        _write_adapted(folder, asked, used)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="vt_seg")
    for note in notes:
        logger.info(note)
    return cfg


def _write_adapted(folder: str, asked: CfgNode, used: CfgNode) -> None:
    """Write the keys that have another value than was asked for, or remove an earlier list."""
    values = dict(flat_keys(used))
    changed = {
        key: {"asked": value, "used": values[key]}
        for key, value in flat_keys(asked)
        if values[key] != value
    }
    path = os.path.join(folder, ADAPTED_FILE)
    if changed:
        title = "# Keys of config.yaml that were changed for the machine of the last run."
        write_atomically(path, f"{title}\n{yaml.safe_dump(changed)}".encode())
    elif os.path.isfile(path):
        os.remove(path)


@contextlib.contextmanager
def _trained_config_kept(folder: str) -> Iterator[str]:
    """Keep a training's ``config.yaml``, which Detectron2's ``default_setup`` would replace.

    Yields the folder of the evaluation's, which is ``inference``, next to the results.
    """
    kept = keep_earlier_config(folder, "") if comm.is_main_process() else ""
    try:
        yield os.path.join(folder, "inference") if kept else folder
    finally:
        if kept:
            path = os.path.join(folder, "config.yaml")
            if os.path.isfile(path):
                os.makedirs(os.path.join(folder, "inference"), exist_ok=True)
                os.replace(path, os.path.join(folder, "inference", "config.yaml"))
            os.replace(kept, path)
