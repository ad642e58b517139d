"""Training, evaluation and prediction as Detectron2 does them, with what a user has to be told."""

from vt_seg.checkpoint import SegmentationCheckpointer

from .class_weights import with_class_weights
from .config_check import check_config, check_has_datasets
from .config_setup import load_cfg, setup_cfg
from .dataset_check import check_datasets, require_segmentation
from .devices import adapt_to_machine, processes_per_machine
from .ema import WeightEMA
from .lr_schedule import build_lr_scheduler
from .optimizer import build_optimizer
from .predictor import SemSegPredictor, find_weights, trained_model, use_trained_weights
from .trainable import freeze_all_but
from .trainer import Trainer, evaluate

__all__ = [
    "SegmentationCheckpointer",
    "SemSegPredictor",
    "Trainer",
    "WeightEMA",
    "adapt_to_machine",
    "build_lr_scheduler",
    "build_optimizer",
    "check_config",
    "check_datasets",
    "check_has_datasets",
    "evaluate",
    "find_weights",
    "freeze_all_but",
    "load_cfg",
    "processes_per_machine",
    "require_segmentation",
    "setup_cfg",
    "trained_model",
    "use_trained_weights",
    "with_class_weights",
]
