"""Chooses the checks of datasets by the kind of model that a config has."""

from detectron2.config import CfgNode

from vt_seg import data_checks

from .data_loaders import is_classifier, is_semantic_segmentor, mapper_name


def check_datasets(cfg: CfgNode, *, is_train: bool) -> None:
    """Raise ValueError, with what to set, if the datasets do not give what the model expects.

    Models that neither classify images nor segment semantically are not checked.

    Args:
        cfg: the config.
        is_train: check ``DATASETS.TRAIN`` too, not only ``DATASETS.TEST``.

    Raises:
        FileNotFoundError: if the folder of a classification dataset is missing.
        ValueError: if a dataset is not registered, its metadata are incomplete, or a key of the
            config contradicts them.
    """
    if is_classifier(cfg):
        data_checks.check_classification_datasets(cfg, is_train=is_train)
    elif is_semantic_segmentor(cfg) or cfg.MODEL.META_ARCHITECTURE == "PanopticFPN":
        name = mapper_name(cfg)
        data_checks.check_segmentation_datasets(cfg, is_train=is_train, mapper_name=name)


def check_labelled(cfg: CfgNode) -> None:
    """Raise ValueError if a semantic segmentor has nothing to learn from in a training set."""
    if is_semantic_segmentor(cfg):
        data_checks.check_labelled(cfg, mapper_name=mapper_name(cfg))


def require_segmentation(cfg: CfgNode) -> None:
    """Raise ValueError if the model classifies images, for tools that work on masks.

    Raises:
        ValueError: if it does.
    """
    if is_classifier(cfg):
        raise ValueError(
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE} classifies images; this tool "
            "is for semantic segmentation, whose datasets have masks (tools/train_net.py trains "
            "and evaluates both)"
        )
