"""The config of a trained model: of a config file, of a run's folder, or of a hub folder."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from detectron2.config import CfgNode

from vt_seg.command_line import config_path
from vt_seg.config_file import merge_overrides
from vt_seg.engine import (
    check_config,
    load_cfg,
    task_of,
    use_trained_weights,
)
from vt_seg.hub import is_pretrained, pretrained_config


class ModelConfig(NamedTuple):
    """The config of a trained model.

    Attributes:
        cfg: the config.
        has_weights: True if ``MODEL.WEIGHTS`` are the trained weights already.
        has_classes: True if the metadata of ``DATASETS.TEST`` need no check.
    """

    cfg: CfgNode
    has_weights: bool
    has_classes: bool = False

    def checked(self, weights: str | os.PathLike | None = None) -> CfgNode:
        """Return the config of a segmentation model, with its weights.

        Args:
            weights: a file; None takes the newest whole checkpoint in ``OUTPUT_DIR``, unless the
                weights are known.

        Raises:
            FileNotFoundError: if there are no such weights.
            ValueError: if the model does not segment, or ``DATASETS.TEST`` does not fit it.
        """
        cfg = self.cfg
        task = task_of(cfg)
        task.require_segmentation()
        task.require_datasets(is_train=False)
        if not self.has_classes:
            task.check_datasets(is_train=False)
        if weights is not None:
            if not os.path.isfile(weights):
                raise FileNotFoundError(f"there is no file of weights {os.fspath(weights)}")
            cfg.MODEL.WEIGHTS = os.fspath(weights)
        elif not self.has_weights:
            use_trained_weights(cfg)
        return cfg


def load_model_config(
    source: str | os.PathLike, overrides: Sequence[str] = (), imports: Sequence[str] = ()
) -> ModelConfig:
    """Return the config of a trained model.

    Args:
        source: a config file, the name of one (``vt_seg.model_zoo``), a run's ``OUTPUT_DIR``, or a
            folder of ``vt_seg.hub.save_pretrained``, or its id on the Hugging Face Hub.
        overrides: ``["KEY", "VALUE", ...]``.
        imports: modules of a user (see :func:`vt_seg.engine.load_cfg`).

    Raises:
        FileNotFoundError: if there is nothing of that name, or a folder is neither of the two.
        ValueError: if the config or an override is wrong (see :func:`vt_seg.engine.load_cfg`), or
            the hub folder is damaged.
    """
    source = os.fspath(source)
    known = "MODEL.WEIGHTS" in overrides[::2]
    run_config = os.path.join(source, "config.yaml")
    if os.path.isdir(source) and not is_pretrained(source):
        if not os.path.isfile(run_config):
            raise FileNotFoundError(
                f"{source} is neither a run's folder nor one of save_pretrained: it has no "
                "config.yaml"
            )
        # The folder may have been moved since the run.
        overrides = ["OUTPUT_DIR", source, *overrides]
        return ModelConfig(load_cfg(run_config, overrides, imports), known)
    path = config_path(source)
    is_there = os.path.isfile(path)
    is_yaml = path.endswith((".yaml", ".yml"))
    if os.path.isdir(source) or ("/" in source and not is_there and not is_yaml):
        cfg, _ = pretrained_config(source, imports=imports)
        merge_overrides(cfg, overrides)
        check_config(cfg)
        return ModelConfig(cfg, has_weights=True, has_classes=True)
    if not is_there:
        raise FileNotFoundError(
            f"there is no config file or folder {source}, nor a config of that name (see vt-seg "
            "configs)"
        )
    return ModelConfig(load_cfg(path, list(overrides), imports), known)
