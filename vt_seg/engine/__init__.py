"""Training, evaluation and prediction as Detectron2 does them, with what a user has to be told."""

from .checkpointer import SegmentationCheckpointer
from .class_weights import with_class_weights
from .config_setup import load_cfg, setup_cfg
from .dataset_check import check_datasets, config_faults
from .devices import adapt_to_machine, processes_per_machine
from .lr_schedule import build_lr_scheduler
from .predictor import SemSegPredictor, find_weights
from .trainer import Trainer, evaluate

__all__ = [
    "SegmentationCheckpointer",
    "SemSegPredictor",
    "Trainer",
    "adapt_to_machine",
    "build_lr_scheduler",
    "check_datasets",
    "config_faults",
    "evaluate",
    "find_weights",
    "load_cfg",
    "processes_per_machine",
    "with_class_weights",
    "setup_cfg",
]
