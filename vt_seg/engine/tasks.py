"""What depends on the kind of a model: mapper, batches, checks of datasets, and the main score."""

from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper, Metadata, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN, SemanticSegmentor
from torch import nn

from vt_seg import data_checks
from vt_seg.config import require_vt_seg_keys
from vt_seg.data import ClassificationMapper, ImageReader, SemSegMapper, spread_evenly
from vt_seg.files import require_regular_file
from vt_seg.modeling import ImageClassifier, add_stochastic_depth

Mapper = Callable[[dict[str, Any]], dict[str, Any]]


class Task:
    """Object detection and other tasks of Detectron2's: its mapper, no checks of datasets.

    Attributes:
        name: what results and ``metrics.json`` call the task.
        score: (key in the results, name for people) of the score that matters most.
        auto_mapper: what ``INPUT.SEM_SEG_MAPPER`` "auto" stands for.
        is_segmentation: True if the model predicts semantic segmentation and nothing else.
        has_masks: False if the datasets have no masks.
        num_classes: number of classes that the model distinguishes.
        test_batch_size: number of images that a process evaluates at a time.
        groups_by_aspect_ratio: True if training batches are all landscape or all portrait.
    """

    name = "sem_seg"  # the part of a panoptic model's results that has a main score here
    score = ("mIoU", "mIoU")
    auto_mapper = "detectron2"
    is_segmentation = False
    has_masks = True

    def __init__(self, cfg: CfgNode) -> None:
        for key in ("TRAIN", "TEST"):  # config files cannot say this, and Python can
            name = cfg.DATASETS[key]
            if isinstance(name, str):
                raise ValueError(
                    f"DATASETS.{key} is the text {name!r} and needs a tuple: write ({name!r},), "
                    "with the comma"
                )
        self.cfg = cfg
        self.num_classes: int = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        self.test_batch_size = 1
        self.groups_by_aspect_ratio: bool = cfg.DATALOADER.ASPECT_RATIO_GROUPING

    @property
    def mapper_name(self) -> str:
        """``INPUT.SEM_SEG_MAPPER``, with "auto" resolved."""
        require_vt_seg_keys(self.cfg, "INPUT.SEM_SEG_MAPPER")
        name = self.cfg.INPUT.SEM_SEG_MAPPER
        return self.auto_mapper if name == "auto" else name

    def metadata(self, split: str) -> Metadata:
        """Return the metadata, with the classes, of the first dataset of ``DATASETS[split]``."""
        return MetadataCatalog.get(self.cfg.DATASETS[split][0])

    def build_mapper(self, *, is_train: bool) -> Mapper:
        """Return the mapper of ``INPUT.SEM_SEG_MAPPER``; ValueError if it ignores a set key."""
        name = self.mapper_name
        if name == "vt_seg":
            return SemSegMapper(self.cfg, is_train=is_train)
        if name == "detectron2":
            given = f"{self.cfg.INPUT.SEM_SEG_MAPPER} gives {self.cfg.MODEL.META_ARCHITECTURE}"
            mapper = f"Detectron2's DatasetMapper, which is what INPUT.SEM_SEG_MAPPER {given}"
            _refuse_unread_keys(self.cfg, mapper)
            return RegularFileMapper(self.cfg, is_train=is_train)
        raise ValueError(f'INPUT.SEM_SEG_MAPPER is "{name}": use "auto", "vt_seg" or "detectron2"')

    def prepare_model(self, model: nn.Module) -> None:
        """Add stochastic depth to the backbone, in place, if the config asks for it."""
        probability = self.cfg.MODEL.BACKBONE.STOCHASTIC_DEPTH
        if probability > 0:
            add_stochastic_depth(model.get_submodule("backbone"), probability)

    def require_datasets(self, *, is_train: bool) -> None:
        """Raise ValueError if the config names no dataset to train on, or else none to test on."""
        key = "TRAIN" if is_train else "TEST"
        if not self.cfg.DATASETS[key]:
            what = "to train on" if is_train else "to evaluate on, whose classes drawings name too"
            raise ValueError(
                f"DATASETS.{key} is empty: name the registered datasets {what}, as DATASETS.{key} "
                f"'(\"my_{key.lower()}\",)'"
            )

    def check_datasets(self, *, is_train: bool) -> None:
        """Check that datasets are named and fit the model (those to train on only if ``is_train``).

        Raises:
            FileNotFoundError: if the folder of a classification dataset is missing.
            ValueError: if a dataset is not registered, its metadata are incomplete, or a key of the
                config contradicts them; says what to set.
        """
        self.require_datasets(is_train=is_train)

    def check_labelled(self) -> None:
        """Raise ValueError if nothing is labelled in a dataset of ``DATASETS.TRAIN``."""

    def check_files(self, *, is_train: bool) -> list[str]:
        """Look into the datasets (``DATASETS.TRAIN`` only if ``is_train``); say what was sampled.

        Raises OSError or ValueError if files are missing, or a sample of them cannot be used.
        """
        for name in self.cfg.DATASETS.TEST:
            try:
                DatasetCatalog.get(name)
            except (AssertionError, KeyError) as error:  # of Detectron2's own loaders
                reason = str(error) or type(error).__name__
                raise ValueError(f"DATASETS.TEST {name} cannot be loaded: {reason}") from error
        return []

    def require_segmentation(self) -> None:
        """Raise ValueError if the model classifies images."""
        if not self.has_masks:
            raise ValueError(
                f"MODEL.META_ARCHITECTURE {self.cfg.MODEL.META_ARCHITECTURE} classifies images; "
                "this tool is for semantic segmentation, whose datasets have masks "
                "(vt-seg train and vt-seg evaluate take both)"
            )

    def headline(self, results: dict[str, Any]) -> str:
        """Return the main score of an evaluation on one dataset, as "mIoU 41.30 %", or ""."""
        key, name = self.score
        if key not in results.get(self.name, {}):
            return ""
        ema = results.get(f"{self.name}_EMA", {})
        ema_score = f" (EMA {ema[key]:.2f} %)" if key in ema else ""
        return f"{name} {results[self.name][key]:.2f} %{ema_score}"


class PanopticTask(Task):
    """Panoptic segmentation with Detectron2's ``PanopticFPN``, whose stuff classes are checked."""

    def check_datasets(self, *, is_train: bool) -> None:
        """Check the metadata, and the config against them."""
        super().check_datasets(is_train=is_train)
        data_checks.check_segmentation_datasets(
            self.cfg, is_train=is_train, mapper_name=self.mapper_name
        )


class SegmentationTask(PanopticTask):
    """Semantic segmentation alone: `SemanticSegmentor` and its subclasses."""

    auto_mapper = "vt_seg"
    is_segmentation = True

    def check_labelled(self) -> None:
        """Check the masks of each dataset until one has a labelled pixel."""
        data_checks.check_labelled(self.cfg, mapper_name=self.mapper_name)

    def check_files(self, *, is_train: bool) -> list[str]:
        """Read all names and a sample of pairs, as ``tools/validate_dataset.py`` does.

        A few pairs are augmented if ``INPUT.AUGMENTATIONS`` has entries.
        """
        splits = {"TEST": self.cfg.DATASETS.TEST}
        if is_train and self.mapper_name == "vt_seg":  # Detectron2's mapper reads in its own way
            splits["TRAIN"] = self.cfg.DATASETS.TRAIN
        said = [
            data_checks.check_sample(name, key, ImageReader.of(self.cfg))
            for key in splits
            for name in splits[key]
        ]
        if is_train and self.cfg.INPUT.AUGMENTATIONS:  # which may not take images of this kind
            mapper = self.build_mapper(is_train=True)
            for record in spread_evenly(DatasetCatalog.get(self.cfg.DATASETS.TRAIN[0]), 4):
                mapper(record)
        return list(filter(None, said))


class ClassificationTask(Task):
    """Image classification: `ImageClassifier` and its subclasses."""

    name = "classification"
    score = ("top1", "top-1")
    has_masks = False

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES
        self.test_batch_size = cfg.TEST.CLASSIFICATION.BATCH_SIZE
        self.groups_by_aspect_ratio = False  # images are of one size when they are batched

    def build_mapper(self, *, is_train: bool) -> Mapper:
        """Return the classification mapper."""
        mapper = "the classification mapper (its keys are INPUT.CLASSIFICATION)"
        _refuse_unread_keys(self.cfg, mapper, crop=True)
        return ClassificationMapper(self.cfg, is_train=is_train)

    def prepare_model(self, model: nn.Module) -> None:
        """Do nothing: `ImageClassifier` adds stochastic depth itself."""

    def check_datasets(self, *, is_train: bool) -> None:
        """Check the folders of classes, and the config against them."""
        super().check_datasets(is_train=is_train)
        data_checks.check_classification_datasets(self.cfg, is_train=is_train)


_TASKS: dict[type, type[Task]] = {
    ImageClassifier: ClassificationTask,
    SemanticSegmentor: SegmentationTask,
    PanopticFPN: PanopticTask,
}


def task_of(cfg: CfgNode) -> Task:
    """Return the task of ``MODEL.META_ARCHITECTURE``."""
    for kind, task in _TASKS.items():
        if is_architecture(cfg, kind):
            return task(cfg)
    return Task(cfg)


def is_architecture(cfg: CfgNode, *kinds: type) -> bool:
    """Return True if ``MODEL.META_ARCHITECTURE`` names one of these classes or a subclass."""
    name = cfg.MODEL.META_ARCHITECTURE
    model = META_ARCH_REGISTRY.get(name) if name in META_ARCH_REGISTRY else None
    return isinstance(model, type) and issubclass(model, kinds)


class RegularFileMapper(DatasetMapper):
    """Detectron2's mapper, for regular files alone: it would wait for ever on a named pipe."""

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Return the mapped record; raise ValueError if an image or mask is no regular file."""
        for key in ("file_name", "sem_seg_file_name", "pan_seg_file_name"):
            if dataset_dict.get(key):
                require_regular_file(dataset_dict[key])
        return super().__call__(dataset_dict)


def _refuse_unread_keys(cfg: CfgNode, mapper: str, *, crop: bool = False) -> None:
    """Raise ValueError if a key of ``INPUT`` is set that a mapper would ignore."""
    keys = {
        "IN_CHANNELS": cfg.INPUT.IN_CHANNELS != 3,
        "DTYPE": cfg.INPUT.DTYPE != "uint8",
        "FIXED_SIZE": len(cfg.INPUT.FIXED_SIZE) > 0,
        "AFFINE.ENABLED": cfg.INPUT.AFFINE.ENABLED,
        "CROP.ENABLED": crop and cfg.INPUT.CROP.ENABLED,
        "CROP.AFTER_RESIZE": cfg.INPUT.CROP.AFTER_RESIZE,
        "CROP.SINGLE_CATEGORY_MAX_AREA": cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA < 1,
        "CROP.CLASS_PROB": cfg.INPUT.CROP.CLASS_PROB > 0,
        "COLOR_AUG_SSD": cfg.INPUT.COLOR_AUG_SSD,
        "AUGMENTATIONS": len(cfg.INPUT.AUGMENTATIONS) > 0,
        "PAD_TO": len(cfg.INPUT.PAD_TO) > 0,
    }
    given = [f"INPUT.{key}" for key, is_set in keys.items() if is_set]
    if given:
        raise ValueError(f"{', '.join(given)}: unknown to {mapper}")
