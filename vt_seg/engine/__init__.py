"""Training, evaluation and prediction as Detectron2 does them, with checks and clear messages."""

from vt_seg.checkpoint import SegmentationCheckpointer

from .adapt_to_machine import adapt_to_machine, processes_per_machine
from .class_weights import with_class_weights
from .config_check import check_config
from .data_loaders import build_test_loader, build_train_loader
from .ema import WeightEMA
from .evaluation import evaluate, evaluation_autocast
from .freezing import freeze_all_but
from .launch import launch
from .linear_lr_scaling import scale_recipe
from .lr_schedule import build_lr_scheduler
from .optimizer import build_optimizer
from .predictor import SemSegPredictor, find_weights, trained_model, use_trained_weights
from .run_folder import folder_for_pictures
from .run_setup import load_cfg, setup_cfg
from .tasks import Task, task_of
from .trainer import Trainer

__all__ = [
    "SegmentationCheckpointer", "SemSegPredictor", "Task", "Trainer", "WeightEMA",
    "adapt_to_machine", "build_lr_scheduler", "build_optimizer", "build_test_loader",
    "build_train_loader", "check_config",
    "evaluate", "evaluation_autocast", "find_weights", "folder_for_pictures", "freeze_all_but",
    "launch", "load_cfg", "processes_per_machine", "scale_recipe", "setup_cfg", "task_of",
    "trained_model", "use_trained_weights", "with_class_weights",
]  # fmt: skip
