"""Every configuration key that vt_seg adds to Detectron2's, with its default.

The defaults of Visual Transformers are those of :class:`vt_seg.layers.VTConfig`.
"""

import functools
import logging
from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg
from detectron2.utils.logger import log_first_n

from .layers import VTConfig

RENAMED_KEYS = {
    "MODEL.VT_FPN.POSITION_CODE": "MODEL.VT_FPN.POSITIONAL_ENCODING",
    "MODEL.VT_RESNET.POSITION_CODE": "MODEL.VT_RESNET.POSITIONAL_ENCODING",
    "SOLVER.OPTIMIZER": "SOLVER.VT_OPTIMIZER",
    "MODEL.TIMM.CHECKPOINTING": "MODEL.BACKBONE.CHECKPOINTING",
}
"""New names of old keys, which config files and overrides may still use (see `config_file`)."""

WORDS = {("SOLVER.ACCUMULATE", "auto"): 0}
"""Values of whole numbers for which config files and overrides may write a word."""


def add_vt_seg_config(cfg: CN) -> None:
    """Add vt_seg's keys to a Detectron2 config, in place.

    A key that exists keeps its value: one that a user set before a second call, or that other
    projects have too (PointRend's ``INPUT.COLOR_AUG_SSD``, for example).
    """
    _add_missing(cfg, _defaults())


def default_config() -> CN:
    """Return Detectron2's default config with vt_seg's keys."""
    cfg = get_cfg()
    add_vt_seg_config(cfg)
    return cfg


def with_values(cfg: CN, values: Mapping[str, Any]) -> CN:
    """Return a copy of a config, frozen if that is, with other values by dotted names of keys."""
    changed = cfg.clone()
    changed.defrost()
    for name, value in values.items():
        *path, key = name.split(".")
        functools.reduce(CN.__getitem__, path, changed)[key] = value
    if cfg.is_frozen():
        changed.freeze()
    return changed


def require_vt_seg_keys(cfg: CN, *names: str) -> None:
    """Raise ValueError, with what to call, if ``cfg`` lacks a key or node (``"SOLVER.EMA"``)."""
    for name in names:
        node = cfg
        for key in name.split("."):
            if key not in node:
                raise ValueError(
                    f"the config has no {name}: call vt_seg.add_vt_seg_config(cfg) after get_cfg()"
                )
            node = node[key]


def adopt_renamed_keys(keys: dict[str, Any], own: Mapping[str, Any] | None = None) -> None:
    """Give values that are set by old keys to the new ones, in place; a warning names each.

    Args:
        keys: a config that Detectron2's own code merged, or the content of a file, merged over the
            files that it inherits.
        own: what the file itself says; None for all of ``keys``.

    Raises:
        ValueError: if both keys are set, to different values. A new key with its default counts as
            unset, as it is in every dump of a config that Detectron2's own code merged.
    """
    own = keys if own is None else own
    for old, new in RENAMED_KEYS.items():
        # Other projects have SOLVER.OPTIMIZER in their configs, too: see `vt_seg.engine.optimizer`.
        value = None if isinstance(keys, CN) and old == "SOLVER.OPTIMIZER" else _get(keys, old)
        if value in ("", None):
            continue
        if _get(own, new) not in (None, value, _get(_defaults(), new)):
            raise ValueError(
                f"sets {new} {_get(own, new)} and, by its old name, {old} {value}: keep {new}"
            )
        warn_of_renamed_key(old, value)
        _set(keys, old, "" if isinstance(value, str) else None)
        if isinstance(keys, CN):
            keys.merge_from_list([new, value])  # which checks its type
        else:
            _set(keys, new, value)


def _get(keys: Mapping[str, Any], name: str) -> Any:
    """Return the value with a dotted name, or None."""
    value: Any = keys
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _set(keys: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        keys = keys.setdefault(part, {})
    keys[last] = value


def warn_of_renamed_key(old: str, value: object) -> None:
    """Log, once, that an old key is taken and what to write."""
    message = f"{old} {value} is taken, and is an old key: write {RENAMED_KEYS[old]} {value}"
    log_first_n(logging.WARNING, message, name=__name__, key="message")


def _add_missing(node: CN, defaults: CN) -> None:
    for key, default in defaults.items():
        if key not in node:
            setattr(node, key, default)
        elif isinstance(default, CN):
            _add_missing(node[key], default)


def _defaults() -> CN:
    """Return vt_seg's keys alone."""
    nodes_of_detectron2: dict[str, dict] = {
        "MODEL": {"BACKBONE": {}, "SEM_SEG_HEAD": {}},
        "INPUT": {"CROP": {}},
        "SOLVER": {"AMP": {}},
        **{"DATASETS": {}, "TEST": {}},
    }
    cfg = CN(nodes_of_detectron2)

    # The VT-FPN neck (paper v1 Sec. 4.2), the same for `VTFPNHead` and the VT-FPN backbones.
    # Its output channels are MODEL.FPN.OUT_CHANNELS, as it replaces an FPN.
    cfg.MODEL.VT_FPN = _visual_transformer_keys()
    # Number of VT layers. Paper: 1. With 0 the neck is its lateral convolutions, a baseline.
    cfg.MODEL.VT_FPN.NUM_LAYERS = VTConfig().num_layers
    # Number of tokens of each level; () is NUM_TOKENS for all.
    cfg.MODEL.VT_FPN.TOKENS_PER_LEVEL = ()
    # Each level's projector reads its "own" tokens (which the paper's MACs need) or "all" levels'.
    cfg.MODEL.VT_FPN.PROJECTOR_READS = VTConfig().projector_reads
    # Not in the paper (docs/photos.md). Add to each lateral's map the next coarser one, upsampled,
    # before tokens are taken: no multiply-adds.
    cfg.MODEL.VT_FPN.TOP_DOWN = VTConfig().top_down
    # Not in the paper. "depthwise": a depthwise 3x3 convolution with NORM on each output; "none".
    cfg.MODEL.VT_FPN.OUTPUT_CONV = VTConfig().output_conv

    # VT-ResNet: MODEL.RESNETS describes stages 1-4, this node the VT modules in place of stage 5.
    cfg.MODEL.VT_RESNET = _visual_transformer_keys()
    # Channels C of the feature map `res5`. Paper: 512 (18, 34) or 1024 (50, 101) in v1; 256 or
    # 1024 in v4.
    cfg.MODEL.VT_RESNET.OUT_CHANNELS = 1024
    # Number of VT layers; 0 is the paper's: 2, 3, 3, 3 for the depths 18, 34, 50, 101.
    cfg.MODEL.VT_RESNET.NUM_LAYERS = 0

    # The backbones `build_timm_backbone`, `build_timm_fpn_backbone`, `build_timm_vt_fpn_backbone`.
    cfg.MODEL.TIMM = _timm_keys()

    # Stochastic depth (arXiv 1603.09382): the probability that training drops the residual branch
    # of the backbone's last block for an image, rising linearly over the blocks. 0 is off.
    cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH = 0.0
    # Recompute the activations of residual blocks (of a ResNet, of a VT-ResNet's ResNet stages, of
    # a model of timm) in the backward pass: less memory, more time, the same gradients.
    cfg.MODEL.BACKBONE.CHECKPOINTING = False

    # MODEL.META_ARCHITECTURE "ImageClassifier": any backbone and a linear layer.
    cfg.MODEL.CLASSIFIER = _classifier_keys()

    # Channels of the image files, and their dtype: "uint8", "uint16", "int16" or "float32". Other
    # images than the default, 8-bit colours, are read as they are stored, NPY and TIFF included,
    # with nothing scaled: MODEL.PIXEL_MEAN and PIXEL_STD have as many numbers, in the files' units.
    cfg.INPUT.IN_CHANNELS = 3
    cfg.INPUT.DTYPE = "uint8"
    # Of those, arrays that do not name their axes (NPY, TIFF of several pages) are (C, H, W).
    cfg.INPUT.CHANNELS_FIRST = False
    # Their channels that drawings show as red, green and blue, or one as grey, counted from 0; ()
    # is the first three, or the first of fewer.
    cfg.INPUT.PICTURE_CHANNELS = ()
    # Resize every image to exactly this (height, width), in training and test, aspect ratio not
    # kept. () leaves resizing to MIN_SIZE_* and MAX_SIZE_*.
    cfg.INPUT.FIXED_SIZE = ()
    # Or warp it onto a canvas, as is usual on LIP; see `_affine_keys`.
    cfg.INPUT.AFFINE = _affine_keys()
    # Crop after the resize, not before it as Detectron2 does. Needs INPUT.CROP.ENABLED.
    cfg.INPUT.CROP.AFTER_RESIZE = False
    # No class should cover more than this share of a crop's labelled pixels, as in Detectron2's
    # PointRend project: ten places are tried. 1.0 allows any.
    cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA = 1.0
    # This share of the crops is placed around a random pixel of a random class of the image, which
    # favours rare classes.
    cfg.INPUT.CROP.CLASS_PROB = 0.0
    # Jitter brightness, contrast, saturation and hue, as SSD does (a key of PointRend's, too).
    cfg.INPUT.COLOR_AUG_SSD = False
    # In training, pad smaller images to this (height, width): on the right and at the bottom, with
    # PIXEL_MEAN, labels with IGNORE_VALUE. () pads none. Unlike the padding of a batch, this one
    # enters VT-FPN's tokens.
    cfg.INPUT.PAD_TO = ()
    # Augmentations of training between crop and flip: dotted names of your own (VT_SEG.IMPORT), or
    # of detectron2.data.transforms, torchvision.transforms.v2 or albumentations, alone or with
    # arguments as {NAME: "albumentations.GaussNoise", ARGS: {p: 0.5}} (docs/extending.md).
    cfg.INPUT.AUGMENTATIONS = []
    # "vt_seg": EXIF- and palette-aware, label-checked, label-swapping flip. "detectron2": the stock
    # DatasetMapper. "auto": the former for models that read semantic labels alone, else the latter.
    cfg.INPUT.SEM_SEG_MAPPER = "auto"

    # What image classifiers read instead, together with INPUT.{FORMAT,RANDOM_FLIP}.
    cfg.INPUT.CLASSIFICATION = _classification_input_keys()

    # Datasets of your own, registered when a config is loaded: a list of {NAME, IMAGES, MASKS,
    # CLASSES, ...}, the arguments of vt_seg.data.register_sem_seg (docs/custom_data.md shows them
    # all), or of {NAME, IMAGE_FOLDER} with a subfolder per class. Paths are relative to the working
    # directory.
    cfg.DATASETS.CUSTOM = []

    # Keep weights and maps of the plain `PaddingAwareSegmentor` in the channels-last memory format:
    # the same results up to rounding, in different time and memory (docs/benchmarks.md).
    cfg.MODEL.CHANNELS_LAST = False

    # The loss of `VTFPNHead` and `SemSegFPNLossHead`. The defaults are plain cross-entropy.
    cfg.MODEL.SEM_SEG_HEAD.LOSS = _loss_keys()

    # What `PaddingAwareSegmentor` and `UnwarpingSemanticSegmentor` return as "sem_seg": "logits",
    # (C, H, W), as Detectron2's evaluators need, or "labels", the label map (H, W).
    cfg.MODEL.SEM_SEG_HEAD.OUTPUT = "logits"
    # Their logits are divided by this in inference, which calibrates probabilities and leaves label
    # maps as they are. TEST.SEM_SEG.CALIBRATION fits it (docs/evaluation.md).
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = 1.0

    # Evaluation, prediction and demo use `vt_seg.inference.optimize(model)`: batch norms folded,
    # label maps in little memory, the same predictions up to rounding (docs/light_inference.md).
    # False runs the plain model and takes the argmax of its logits.
    cfg.TEST.OPTIMIZE = True
    # Of convolutions and matrix products in evaluation, prediction and demo: "float32", "bfloat16"
    # or, on GPUs alone, "float16". Sums, norms and softmax remain float32 (torch.autocast).
    cfg.TEST.DTYPE = "float32"

    # Compute the loss on DATASETS.TEST at each evaluation, too: "val/loss" (docs/watching.md).
    cfg.TEST.LOSS = False
    # Keep the best weights so far as model_best.pth: the name of a score, such as "sem_seg/mIoU",
    # or "val/loss", of which the smallest is the best. "" keeps none.
    cfg.TEST.BEST_METRIC = ""
    # End training after this many evaluations in a row without a better BEST_METRIC. 0 never does.
    cfg.TEST.PATIENCE = 0
    # Test images that are drawn with truth and prediction at each evaluation, for TensorBoard and
    # LOGGERS, in addition to the confusion matrix. 0 draws neither.
    cfg.TEST.PICTURES = 4
    # Where metrics and pictures go in addition to metrics.json and TensorBoard: "wandb", "mlflow".
    cfg.LOGGERS = []

    # What `vt_seg.evaluation` computes. mIoU and mACC average over the classes "present" in the
    # ground truth, as Detectron2 does, or over "all", absent ones as 0, as LIP's scripts do.
    cfg.TEST.SEM_SEG = CN()
    cfg.TEST.SEM_SEG.MEAN_OVER = "present"
    # Boundary IoU per class, too: some milliseconds per class and image.
    cfg.TEST.SEM_SEG.BOUNDARY_IOU = False
    # Write every prediction into sem_seg_predictions.json (COCO's run lengths): slow and large.
    cfg.TEST.SEM_SEG.PREDICTIONS_JSON = False
    # Score Cityscapes with its own scripts, too (pip install cityscapesscripts): IoU and iIoU of
    # classes and categories. The mIoU is the same without them.
    cfg.TEST.SEM_SEG.CITYSCAPES_SCRIPTS = False
    # Images in sem_seg_worst_images.jpg, those of the lowest mIoU, with truth, prediction and
    # errors: about 25 ms each at the end of an evaluation. 0 draws none.
    cfg.TEST.SEM_SEG.WORST_IMAGES = 16
    # Expected calibration error, a reliability diagram, and the temperature that fits the test set.
    # Logits are read in place of label maps (docs/evaluation.md has the cost).
    cfg.TEST.SEM_SEG.CALIBRATION = False

    # Images that a classifier evaluates at a time, in each process.
    cfg.TEST.CLASSIFICATION = CN()
    cfg.TEST.CLASSIFICATION.BATCH_SIZE = 64

    # Modules of your own, names or .py files, that this config needs. They are imported only if
    # --import names them, too: reading a config never runs code (docs/extending.md).
    cfg.VT_SEG = CN({"IMPORT": []})

    _add_solver_keys(cfg.SOLVER)
    return cfg


def _add_solver_keys(solver: CN) -> None:
    """Add the keys that `vt_seg.engine.Trainer` reads and `DefaultTrainer` does not."""
    # "SGD" as Detectron2 builds it, "AdamW" or "RMSProp"; weight decay and bias keys hold for all,
    # MOMENTUM for SGD and RMSProp.
    solver.VT_OPTIMIZER = "SGD"
    # The old name of VT_OPTIMIZER; "" is unset. Mask2Former and Panoptic-DeepLab have a key of
    # this name with other values, see `vt_seg.engine.optimizer.optimizer_name`.
    solver.OPTIMIZER = ""
    solver.ADAMW = CN({"BETAS": (0.9, 0.999), "EPS": 1e-8})
    # The paper names neither. These are those of the MobileNet and EfficientNet recipes: TensorFlow
    # adds its epsilon, 0.001, below the root, PyTorch adds EPS to the root: sqrt(0.001).
    solver.RMSPROP = CN({"ALPHA": 0.9, "EPS": 0.0316})
    # Passes, forward and backward, in which the IMS_PER_BATCH images of an iteration are processed,
    # one after another, to save memory; learning rate and iterations stay. 0 is automatic: as many
    # as let a recipe for REFERENCE_WORLD_SIZE GPUs run unchanged on fewer; config files and
    # overrides may write the word auto for it.
    solver.ACCUMULATE = 1
    # Of SOLVER.AMP.ENABLED, in training: "float16", on GPUs alone, or "bfloat16".
    solver.AMP.DTYPE = "float16"
    # Factor of the backbone's learning rate, without FPN or VT-FPN around it, and a factor for each
    # stage of it (a ResNet or a timm model) once more: STAGE_DECAY for res5, its square for res4,
    # ... its fifth power for the stem.
    solver.BACKBONE_MULTIPLIER = 1.0
    solver.STAGE_DECAY = 1.0
    # CLIP_GRADIENTS.CLIP_TYPE may be "full_model", too: CLIP_VALUE then is the largest norm, of
    # order NORM_TYPE, of all gradients together.

    # For LR_SCHEDULER_NAME "WarmupPolyLR", named as in Detectron2's DeepLab project.
    solver.POLY_LR_POWER = 0.9
    # The learning rate never falls below this share of BASE_LR.
    solver.POLY_LR_CONSTANT_ENDING = 0.0
    # For LR_SCHEDULER_NAME "WarmupExponentialLR": after the warm-up the learning rate is multiplied
    # by DECAY every PERIOD iterations, an epoch in the paper. The default 0 has to be changed.
    solver.EXPONENTIAL_LR_DECAY = 0.9875
    solver.EXPONENTIAL_LR_PERIOD = 0

    # Exponential moving average of weights and batch norm statistics, evaluated in addition to the
    # raw ones and written as model_final_ema.pth. Paper (ImageNet): 0.99985 per iteration of 2048.
    solver.EMA = CN({"ENABLED": False, "DECAY": 0.99985})
    # Update n decays by (1 + n) / (10 + n) while that is smaller, as in TensorFlow: else a short
    # run's average is that of its first weights (with 0.99985, 37 % of them after 6667 iterations).
    solver.EMA.WARMUP = True

    # Periodic checkpoints that are kept, the newest ones. 0 keeps all.
    solver.CHECKPOINTS_KEPT = 0
    # Make a run repeat bit for bit on one machine (docs/resuming.md); needs SEED. It is slower.
    solver.DETERMINISTIC = False

    # "all", or "attention": everything is frozen but the attention weights of the Visual
    # Transformers, the prediction heads and the norms (arXiv 2203.09795, Sec. 4).
    solver.TRAINABLE = "all"


def _affine_keys() -> CN:
    """Return the keys of the affine warp, with the defaults of the LIP literature (CE2P, SCHP)."""
    node = CN()
    # Instead of a resize. Needs MODEL.META_ARCHITECTURE UnwarpingSemanticSegmentor, which brings
    # predictions back to the image's size.
    node.ENABLED = False
    # (height, width) of the canvas. In a test the image is centred, as large as fits.
    node.SIZE = (473, 473)
    # In training, the window that is cut out of the image is 1 + N(0, SCALE) times as large,
    # clipped to 1 +- SCALE ...
    node.SCALE = 0.25
    # ... and with probability ROTATION_PROB rotated by N(0, ROTATION) degrees, clipped to twice it.
    node.ROTATION = 30.0
    node.ROTATION_PROB = 0.6
    # Colour of the canvas around the image, in INPUT.FORMAT and before PIXEL_MEAN is subtracted:
    # black, which the model sees as -PIXEL_MEAN / PIXEL_STD. Labels are IGNORE_VALUE there.
    node.BORDER = (0, 0, 0)
    return node


def _classification_input_keys() -> CN:
    """Return the keys of the classification mapper, with the usual defaults on ImageNet."""
    node = CN()
    # Side of the square that the model sees, in pixels: training resizes a random part of the image
    # to it, a test cuts it out of the middle ...
    node.CROP_SIZE = 224
    # ... of the image resized so that its shorter side has this length.
    node.RESIZE_SIZE = 256
    # The random part's share of the image's area, (smallest, largest).
    node.RANDOM_RESIZED_CROP_SCALE = (0.08, 1.0)
    # AutoAugment policy (arXiv 1805.09501): "imagenet", "cifar10" or "svhn"; "" is none.
    node.AUTO_AUGMENT = ""
    # Brightness, contrast and saturation vary by 1 +- this; 0 is off, 0.4 usual.
    node.COLOR_JITTER = 0.0
    return node


def _classifier_keys() -> CN:
    """Return the keys of `ImageClassifier`; only training reads those below IN_FEATURE."""
    node = CN()
    node.NUM_CLASSES = 1000
    # The output of the backbone that is averaged: "res5", or a VT-ResNet's "tokens". It must be
    # among MODEL.RESNETS.OUT_FEATURES.
    node.IN_FEATURE = "res5"
    # Probability that dropout zeroes one of the averaged channels.
    node.DROPOUT = 0.0
    # Share of the target that is spread evenly over all classes.
    node.LABEL_SMOOTHING = 0.0
    # Distillation (v4 Sec. 5.2): the loss is WEIGHT * KD + (1 - WEIGHT) * cross-entropy.
    node.DISTILLATION = CN()
    # The teacher: a name that timm (`pip install timm`) knows, "" for none.
    node.DISTILLATION.TEACHER = ""
    # A file with its weights (docs/weights.md). "" lets timm download those it has for the name.
    node.DISTILLATION.WEIGHTS = ""
    node.DISTILLATION.WEIGHT = 0.8
    # KD is Hinton's: both softmaxes at this temperature T, the divergence times T^2 (ours: the
    # paper gives neither a formula nor a temperature).
    node.DISTILLATION.TEMPERATURE = 1.0
    return node


def _timm_keys() -> CN:
    """Return the keys of timm's backbones; MODEL.BACKBONE.FREEZE_AT counts as for a ResNet."""
    node = CN()
    # The model's name in timm, with the tag of its weights if wanted: "convnext_tiny.fb_in22k".
    node.NAME = "resnet50d"
    # Start from timm's own weights, which it downloads into its cache ...
    node.PRETRAINED = False
    # ... or from this file (.safetensors or .pth) with timm's names of tensors. Weights of timm
    # need INPUT.FORMAT RGB and, most of them, PIXEL_MEAN [123.675, 116.28, 103.53] and PIXEL_STD
    # [58.395, 57.12, 57.375]. Neither is read if MODEL.WEIGHTS is set: it has the backbone.
    node.WEIGHTS = ""
    # timm's stochastic depth: the probability that the last block is dropped for an image.
    node.DROP_PATH = 0.0
    node.CHECKPOINTING = None  # the old name of MODEL.BACKBONE.CHECKPOINTING, see RENAMED_KEYS
    # "" and "BN" keep the model's norms; "FrozenBN", "SyncBN" or "naiveSyncBN" replace batch norms.
    node.NORM = ""
    return node


def _loss_keys() -> CN:
    """Return the keys of the loss; MODEL.SEM_SEG_HEAD has LOSS_WEIGHT and IGNORE_VALUE."""
    node = CN()
    # Weights of the terms, which are summed and logged apart; a term of weight 0 is not computed.
    # LOSS_WEIGHT multiplies all. CLASS_WEIGHTS apply to all but DICE and LOVASZ, OHEM and smoothing
    # to CROSS_ENTROPY alone. The formulas are in vt_seg/modeling/loss_terms.py.
    node.TERMS = CN()
    node.TERMS.CROSS_ENTROPY = 1.0
    node.TERMS.DICE = 0.0
    node.TERMS.LOVASZ = 0.0  # Lovász-softmax
    node.TERMS.FOCAL = 0.0
    node.TERMS.BOUNDARY = 0.0  # cross-entropy with more weight near boundaries
    node.FOCAL_GAMMA = 2.0
    # Pixels at most this many rows and columns from another label are near a boundary; their weight
    # is 1 + BOUNDARY_WEIGHT.
    node.BOUNDARY_WIDTH = 3
    node.BOUNDARY_WEIGHT = 4.0
    # A map of the backbone, such as "res4" or an FPN's "p4", from which a second head predicts in
    # training; its cross-entropy has AUXILIARY_WEIGHT (PSPNet, arXiv 1612.01105). "" is none.
    node.AUXILIARY_FEATURE = ""
    node.AUXILIARY_WEIGHT = 0.4
    # Weight of each class, NUM_CLASSES numbers; () is 1 for all.
    node.CLASS_WEIGHTS = ()
    # Or a rule that computes them from DATASETS.TRAIN, each mask being read once: with f the share
    # of a class among the labelled pixels, "inverse" 1 / f, "inverse_sqrt" 1 / sqrt(f),
    # "inverse_log" 1 / ln(1.02 + f) (ENet, arXiv 1606.02147). "" is none.
    node.CLASS_WEIGHT_RULE = ""
    # Online hard example mining: only pixels whose true class has a probability below this count;
    # 0.7 is usual. 1 takes every pixel.
    node.OHEM_THRESHOLD = 1.0
    # If those are fewer than this number per image, that many of the hardest pixels count.
    node.OHEM_MIN_KEPT = 100_000
    # Share of the target that is spread evenly over all classes.
    node.LABEL_SMOOTHING = 0.0
    return node


def _visual_transformer_keys() -> CN:
    """Return the keys of any stack of Visual Transformers, with the defaults of `VTConfig`."""
    node, defaults = CN(), VTConfig()
    # L, visual tokens per feature map. Paper: 8 (v1; VT-FPN in both), 16 (VT-ResNet in v4).
    # Training one image at a time with a single token fails in batch norm, which needs two values.
    node.NUM_TOKENS = defaults.num_tokens
    # C_T, channels of a token. Paper: 1024 everywhere.
    node.TOKEN_CHANNELS = defaults.token_channels
    # Heads of every attention (v1 App. A: 16).
    node.NUM_HEADS = defaults.num_heads
    # Groups of the 1x1 convolutions on pixels: values, keys, projector queries (v1 App. A: 16).
    node.PIXEL_GROUPS = defaults.pixel_groups
    # Groups of the token transformer's key, query and value convolutions (v1 App. A: 8).
    node.TOKEN_GROUPS = defaults.token_groups
    # Tokenizer of the first layer: "filter" (the paper), or v4's alternatives "pooling" and
    # "clustering" (v4 Sec. 5.1, App. C); the number of k-means steps of the latter is ours.
    node.TOKENIZER = defaults.tokenizer
    node.CLUSTERING_STEPS = defaults.clustering_steps
    # Later layers have recurrent tokenizers; False gives them the first layer's (v4 Table 4).
    node.RECURRENT = defaults.recurrent
    # Token mixer: "transformer", "graph_conv" or "none" (v4 Table 5); and the number of parallel
    # branches that are summed in each of its steps (arXiv 2203.09795, Sec. 3).
    node.MIXER = defaults.mixer
    node.PARALLEL_MIXERS = defaults.parallel_mixers
    # False: only the last layer projects its tokens back to the map (v4 Table 7).
    node.PROJECTOR = defaults.projector
    # Residual branches that start at zero: "all", those of the "projector" alone, or "none". The
    # paper does not say. Behind a branch that is zero, nothing learns until it has grown.
    node.ZERO_INIT = defaults.zero_init
    # Positional encoding (v1 Eq. 2): on or off; side of the square to which the attention is
    # resized; number of stride-2 convolutions. Side and number are ours and fit the paper's counts.
    node.POSITIONAL_ENCODING = defaults.positional_encoding
    node.POSITION_CODE = None  # the old name, see RENAMED_KEYS
    node.POSITION_SIZE = defaults.position_size
    node.POSITION_DOWNSAMPLES = defaults.position_downsamples
    # Formulas of paper revision "v1" (June 2020, App. A) or "v4" (Nov 2020, Eqs. 1-5). v4 has
    # no convolution from C to C_T in a tokenizer where they are equal and POSITIONAL_ENCODING is
    # False.
    node.REVISION = defaults.revision
    # Normalisation, any of Detectron2's names. The paper says SyncBN for VT-FPN.
    node.NORM = "SyncBN"
    return node
