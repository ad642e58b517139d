"""Values of a config that cannot work, reported in sentences before anything is built."""

from collections.abc import Iterator

import torch
from detectron2.config import CfgNode
from detectron2.layers import get_norm
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_HEADS_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    GeneralizedRCNN,
    PanopticFPN,
    SemanticSegmentor,
)

from vt_seg.config import default_config, with_values
from vt_seg.config_file import flat_keys
from vt_seg.evaluation import MEAN_SCORES, PER_CLASS
from vt_seg.modeling import PaddingAwareSegmentor
from vt_seg.modeling.vt_resnet import LAYERS_PER_DEPTH as VT_LAYERS_PER_DEPTH

from .adapt_to_machine import nodes_with_norm
from .determinism import seed_problem
from .image_check import IMAGE_CHECKS
from .lr_schedule import PERIOD_HINT
from .run_loggers import LOGGERS, is_installed
from .tasks import is_architecture, task_of
from .value_ranges import ANY, COUNT, not_among, range_problems, unusable_values

_NORMS = ("BN", "SyncBN", "FrozenBN", "GN", "LN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
_VT_RESNET = "build_vt_resnet_backbone"
_RESNETS = (
    *("build_resnet_backbone", "build_resnet_fpn_backbone", "build_resnet_vt_fpn_backbone"),
    *("build_retinanet_resnet_fpn_backbone", "build_retinanet_resnet_vt_fpn_backbone"),
)
_TIMM = ("build_timm_backbone", "build_timm_fpn_backbone", "build_timm_vt_fpn_backbone")
_STAGES = ("stem", "res2", "res3", "res4", "res5")


def check_config(cfg: CfgNode) -> None:
    """Raise ValueError if values of a config cannot work: a line for each, with what to set."""
    problems = list(config_problems(cfg))
    if problems:
        raise ValueError("\n".join(problems))


def config_problems(cfg: CfgNode) -> Iterator[str]:
    """Yield a sentence for each value of ``cfg`` that cannot work."""
    defaults = dict(flat_keys(default_config()))
    unusable = dict(unusable_values(dict(flat_keys(cfg)), defaults))
    yield from unusable.values()
    cfg = with_values(cfg, {key: defaults[key] for key in unusable})  # to check the rest, too
    yield from range_problems(dict(flat_keys(cfg)))
    for problems in _CHECKS:
        yield from problems(cfg)


def _schedule_problems(cfg: CfgNode) -> Iterator[str]:
    solver, steps = cfg.SOLVER, cfg.SOLVER.STEPS
    if not COUNT.holds_all(steps) or list(steps) != sorted(set(steps)):
        hint = "set iterations of at least 1 that rise, such as (60000, 80000), or () for none"
        yield f"SOLVER.STEPS is {steps}: {hint}"
    if solver.LR_SCHEDULER_NAME == "WarmupCosineLR" and solver.BASE_LR_END > solver.BASE_LR > 0:
        yield (
            f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}, above SOLVER.BASE_LR {solver.BASE_LR}: "
            "WarmupCosineLR falls, so set it to BASE_LR or below"
        )
    if solver.DETERMINISTIC and cfg.SEED < 0:
        yield seed_problem(cfg)
    if solver.LR_SCHEDULER_NAME == "WarmupExponentialLR" and solver.EXPONENTIAL_LR_PERIOD == 0:
        yield f"SOLVER.EXPONENTIAL_LR_PERIOD is 0: {PERIOD_HINT}"


def _name_problems(cfg: CfgNode) -> Iterator[str]:
    model = cfg.MODEL
    registries = [("META_ARCHITECTURE", model.META_ARCHITECTURE, META_ARCH_REGISTRY)]
    registries.append(("BACKBONE.NAME", model.BACKBONE.NAME, BACKBONE_REGISTRY))
    if is_architecture(cfg, SemanticSegmentor, PanopticFPN):
        registries.append(("SEM_SEG_HEAD.NAME", model.SEM_SEG_HEAD.NAME, SEM_SEG_HEADS_REGISTRY))
    if is_architecture(cfg, GeneralizedRCNN):  # PanopticFPN is one
        registries.append(("ROI_HEADS.NAME", model.ROI_HEADS.NAME, ROI_HEADS_REGISTRY))
    for key, name, registry in registries:
        if name not in registry:
            yield not_among(f"MODEL.{key}", name, sorted(known for known, _ in registry))
    for path, node in nodes_with_norm(cfg):
        try:
            get_norm(node.NORM, 32)
        except KeyError:
            yield f'{not_among(f"{path}NORM", node.NORM, _NORMS)}, or "" for none'
    try:
        torch.device(model.DEVICE)
    except (RuntimeError, TypeError):
        yield f"MODEL.DEVICE is {model.DEVICE!r}: set cpu, cuda or cuda:N"


def _backbone_problems(cfg: CfgNode) -> Iterator[str]:
    """Check ResNets, VT-ResNets and timm's; backbones of others read these keys as they like."""
    backbone, resnets = cfg.MODEL.BACKBONE, cfg.MODEL.RESNETS
    name, freeze_at = backbone.NAME, backbone.FREEZE_AT
    if name in (*_RESNETS, _VT_RESNET, *_TIMM) and freeze_at not in range(len(_STAGES) + 1):
        hint = f"set 0 to freeze nothing, 1 for the stem, to {len(_STAGES)} for all stages"
        yield f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}: {hint}"
    if name not in (*_RESNETS, _VT_RESNET):
        return
    is_vt = name == _VT_RESNET
    depths = tuple(VT_LAYERS_PER_DEPTH) if is_vt else (18, 34, 50, 101, 152)
    stages = (*_STAGES, "tokens") if is_vt else _STAGES
    if resnets.DEPTH not in depths:
        yield f"MODEL.RESNETS.DEPTH is {resnets.DEPTH}: {name} has {', '.join(map(str, depths))}"
    if not resnets.OUT_FEATURES or any(name not in stages for name in resnets.OUT_FEATURES):
        yield (
            f"MODEL.RESNETS.OUT_FEATURES is {resnets.OUT_FEATURES}: name one or more of "
            f"{', '.join(stages)}, which {name} has"
        )


def _segmentor_problems(cfg: CfgNode) -> Iterator[str]:
    head, name = cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.META_ARCHITECTURE
    numbers = ANY.holds_all((head.NUM_CLASSES, head.IGNORE_VALUE))
    if numbers and 0 <= head.IGNORE_VALUE < head.NUM_CLASSES and task_of(cfg).has_masks:
        yield (
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE is {head.IGNORE_VALUE}, which is one of the "
            f"{head.NUM_CLASSES} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES): set a label that is "
            "none of them, such as 255 or 65535"
        )
    asked = ["MODEL.SEM_SEG_HEAD.OUTPUT labels"] if head.OUTPUT == "labels" else []
    asked += ["MODEL.CHANNELS_LAST True"] if cfg.MODEL.CHANNELS_LAST else []
    scales = head.TEMPERATURE != 1
    asked += [f"MODEL.SEM_SEG_HEAD.TEMPERATURE {head.TEMPERATURE}"] if scales else []
    if asked and name in META_ARCH_REGISTRY and not is_architecture(cfg, PaddingAwareSegmentor):
        yield (
            f"{' and '.join(asked)} is for MODEL.META_ARCHITECTURE PaddingAwareSegmentor or "
            f"UnwarpingSemanticSegmentor; {name} passes over it: use one of these, or unset it"
        )
    if cfg.TEST.SEM_SEG.CALIBRATION and head.OUTPUT == "labels":
        yield (
            "TEST.SEM_SEG.CALIBRATION is True and needs logits: set MODEL.SEM_SEG_HEAD.OUTPUT "
            "logits, or CALIBRATION False"
        )
    if cfg.MODEL.LOAD_PROPOSALS:
        yield (
            "MODEL.LOAD_PROPOSALS is True: Detectron2 unpickles the files of "
            "DATASETS.PROPOSAL_FILES_TRAIN and PROPOSAL_FILES_TEST, and a pickle can run code; no "
            "model of vt_seg reads precomputed proposals, so set it to False"
        )


def _evaluation_problems(cfg: CfgNode) -> Iterator[str]:
    """Check what would fail, or be done for nothing, when an evaluation ends."""
    names, task = list(cfg.DATASETS.TEST), task_of(cfg)
    for key in ("TRAIN", "TEST"):
        if not all(isinstance(name, str) for name in cfg.DATASETS[key]):
            hint = 'name registered datasets, such as ("vt_scenes_val",)'
            yield f"DATASETS.{key} is {cfg.DATASETS[key]}: {hint}"
    for name in dict.fromkeys(name for name in names if isinstance(name, str)):
        if names.count(name) > 1:
            times = f"name {name} once, not {names.count(name)} times"
            yield f"DATASETS.TEST is {cfg.DATASETS.TEST}: {times}"
    expected = cfg.TEST.EXPECTED_RESULTS
    form = 'lists [task, metric, value, tolerance], such as [["sem_seg", "mIoU", 40.0, 0.5]]'
    for item in expected:
        is_form = isinstance(item, list | tuple) and len(item) == 4 and ANY.holds_all(item[2:])
        if not is_form:
            yield f"TEST.EXPECTED_RESULTS is {expected}: set {form}"
        elif task.is_segmentation or not task.has_masks:
            known = [task.name]
            known += [f"{task.name}_EMA"] if cfg.SOLVER.EMA.ENABLED else []
            known += [f"{task.name}_TTA"] if cfg.TEST.AUG.ENABLED and task.is_segmentation else []
            if item[0] not in known:
                task_key = f"TEST.EXPECTED_RESULTS is {expected}, whose task"
                yield not_among(task_key, item[0], known)
                continue
            ece = ["ECE"] if cfg.TEST.SEM_SEG.CALIBRATION else []
            of_masks = (*MEAN_SCORES, "classes-in-mean", *ece)
            metrics = of_masks if task.has_masks else ("top1", "top5")
            is_per_class = task.has_masks and str(item[1]).startswith(PER_CLASS)
            if item[1] not in metrics and not is_per_class:
                metric_key = f"TEST.EXPECTED_RESULTS is {expected}, whose metric"
                yield not_among(metric_key, item[1], metrics)
    if expected and any(name != names[0] for name in names):
        yield (
            f"TEST.EXPECTED_RESULTS is {expected}, for the results of one dataset, and "
            f"DATASETS.TEST names {len(names)}: name one, or set TEST.EXPECTED_RESULTS []"
        )


def _watching_problems(cfg: CfgNode) -> Iterator[str]:
    """Check what watches a training: losses, the best checkpoint, early stopping, loggers."""
    test, task = cfg.TEST, task_of(cfg)
    if test.LOSS and task.has_masks and not task.is_segmentation:
        yield (
            "TEST.LOSS is True: it is for segmentors and classifiers; set it to False for "
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}"
        )
    if test.PATIENCE > 0 and not test.BEST_METRIC:
        yield (
            f"TEST.PATIENCE is {test.PATIENCE} where TEST.BEST_METRIC is empty: name the metric, "
            f"such as {task.name}/{task.score[0]}, or set TEST.PATIENCE 0"
        )
    empty = {"TEST.EVAL_PERIOD is 0": test.EVAL_PERIOD, "DATASETS.TEST is empty": cfg.DATASETS.TEST}
    for what, value in empty.items():
        if test.BEST_METRIC and not value:
            yield (
                f"TEST.BEST_METRIC is {test.BEST_METRIC} where {what}, so that nothing is "
                'evaluated during training: set it, or TEST.BEST_METRIC ""'
            )
    names = list(cfg.LOGGERS)
    for i, name in enumerate(names):
        if not isinstance(name, str) or name not in LOGGERS:
            yield not_among("LOGGERS", name, list(LOGGERS))
        elif name in names[:i]:
            yield f"LOGGERS is {cfg.LOGGERS}: name {name} once"
        elif not is_installed(name):
            package = LOGGERS[name].package
            yield f"LOGGERS names {name}, which is not installed: pip install {package}"


_CHECKS = (
    _evaluation_problems,
    _watching_problems,
    _schedule_problems,
    *IMAGE_CHECKS,
    _name_problems,
    _backbone_problems,
    _segmentor_problems,
)
