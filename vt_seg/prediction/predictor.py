"""``Predictor``: label maps, probabilities and confidence of images from anywhere."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor
from tqdm import tqdm

from vt_seg.data.augmentations import FastResizeTransform
from vt_seg.engine import SemSegPredictor, check_config, evaluation_autocast
from vt_seg.inference import LogitMap, OptimizedSegmentor

from .load_config import ModelConfig, load_model_config
from .sources import ImageSource, image_sources, is_single
from .tiles import make_tiles

DTYPES = ("float32", "bfloat16", "float16")
OUTPUTS = ("labels", "probabilities", "confidence")
TILE_TOKENS = ("image", "tile")
# Images that are read ahead, in batches: so that those of one size can be predicted together.
_READ_AHEAD = 4
# On a CPU, small images take up to half the time together, and images with more pixels than this
# in total take longer than one by one (docs/predicting.md, "Batches").
_CPU_BATCH_PIXELS = 300_000


@dataclass
class Prediction:
    """What a model predicts for an image.

    Attributes:
        name: the image's path, or what else identifies it.
        image: the image as :attr:`Predictor.images` reads it: ``(H, W, 3)``, uint8, BGR, for models
            of colours.
        labels: the class of each pixel, ``(H, W)``, uint8 (uint16 if there are over 256 classes).
        probabilities: the softmax, ``(C, H, W)``, float32, or None if not asked for.
        confidence: the probability of the label, ``(H, W)``, float32, or None if not asked for.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray | None = None
    confidence: np.ndarray | None = None


class Predictor:
    """Predicts images with a trained segmentation model.

    `docs/predicting.md` has examples.

    Attributes:
        cfg: the model's config.
        metadata: of its classes: ``stuff_classes``, ``stuff_colors``.
        images: reads the model's images from files, and makes pictures of them.
        model: in evaluation mode, and optimized where ``TEST.OPTIMIZE`` is True.
    """

    def __init__(
        self,
        source: CfgNode | str | os.PathLike,
        weights: str | os.PathLike | None = None,
        *,
        overrides: Sequence[str] = (),
        imports: Sequence[str] = (),
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 1,
        tile: int | None = None,
        overlap: int = 128,
        tile_tokens: str | None = None,
    ) -> None:
        """Load a model.

        Args:
            source: a config, or what :func:`load_model_config` takes: a config file or its name, a
                run's folder, a folder or id of ``vt_seg.hub``.
            weights: a file. None takes those of the source: ``MODEL.WEIGHTS`` of a config, the
                newest whole checkpoint in ``OUTPUT_DIR`` of a config file or run, or those in the
                folder.
            overrides: ``["KEY", "VALUE", ...]``, over the config.
            imports: modules of a user that the config needs.
            device: "cpu", "cuda", "cuda:1"; None is ``MODEL.DEVICE``.
            dtype: of convolutions and matrix products: "float32", "bfloat16", or, on GPUs alone,
                "float16"; None is ``TEST.DTYPE``.
            batch_size: images of one size that the model is given together, at most; fewer on a CPU
                where they are large, since they would take longer together. Four times as many are
                read ahead.
            tile: images with a longer side are predicted in square tiles of so many pixels, each
                resized as in tests like an image of its own. None predicts every image whole.
            overlap: pixels that neighbouring tiles share, at least.
            tile_tokens: which visual tokens tiles read: "image", those of the whole image, resized
                as in tests, or to the length of a tile where tests keep its size; or "tile", their
                own. None is "image" where the model is optimized and only a ``VTFPNHead`` has
                tokens, else "tile".

        Raises:
            FileNotFoundError: if there is no such source, or no weights.
            ValueError: if the model does not segment, or an argument has no such value.
        """
        if dtype not in (None, *DTYPES):
            raise ValueError(f"dtype is {dtype!r}: use one of {', '.join(DTYPES)}")
        for name, value in (("batch_size", batch_size), ("tile", tile), ("overlap", overlap)):
            if not isinstance(value, int) and not (name == "tile" and value is None):
                raise ValueError(f"{name} is {value!r}: use a whole number")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: use at least 1")
        if tile is not None and not 0 <= overlap < tile:
            raise ValueError(f"overlap is {overlap} and tile {tile}: use an overlap from 0 to tile")
        if tile_tokens not in (None, *TILE_TOKENS):
            raise ValueError(f'tile_tokens is {tile_tokens!r}: use "image" or "tile"')
        if isinstance(source, CfgNode):
            cfg = source.clone()
            cfg.defrost()
            cfg = ModelConfig(cfg, has_weights=True, has_classes=True).checked(weights)
        else:
            cfg = load_model_config(source, overrides, imports).checked(weights)
        if device is not None:
            cfg.MODEL.DEVICE = str(device)
            check_config(cfg)
        if dtype is not None:
            cfg.TEST.DTYPE = dtype
        self._single = SemSegPredictor(cfg)
        self.cfg, self.metadata, self.model = cfg, self._single.metadata, self._single.model
        self.images = self._single.images
        can_replace = isinstance(self.model, OptimizedSegmentor) and (
            self.model.has_replaceable_tokens
        )
        if tile_tokens == "image" and not can_replace:
            raise ValueError(
                'tile_tokens "image" needs TEST.OPTIMIZE True, and MODEL.SEM_SEG_HEAD.NAME '
                'VTFPNHead on a backbone without Visual Transformers: use "tile"'
            )
        self._replaces_tokens = can_replace and tile_tokens != "tile"
        if dtype == "float16" and next(self.model.parameters()).device.type == "cpu":
            raise ValueError("dtype float16 needs a GPU: use bfloat16 on a CPU")
        self._num_classes: int = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        self._label_dtype = np.uint8 if self._num_classes <= 256 else np.uint16
        self._batch_size, self._tile, self._overlap = batch_size, tile, overlap

    def __call__(
        self,
        source: Any,
        *,
        output: str = "labels",
        channel_order: str = "RGB",
        progress: bool = False,
    ) -> Any:
        """Predict the images of a source.

        Args:
            source: see :func:`image_sources`. Of a video or webcam use :meth:`stream`, as all
                results are kept here.
            output: "labels", "probabilities" or "confidence"; see :class:`Prediction`.
            channel_order: of arrays, "RGB" or "BGR".
            progress: show a progress bar with the rate.

        Returns:
            the array of one image; for folders, patterns, videos and lists, a list of them.

        Raises:
            OSError: if an image cannot be read.
            ValueError: if it is none, or an argument has no such value.
        """
        found = self.stream(source, (output,), channel_order=channel_order)
        bar = tqdm(found, "predict", unit="image", disable=not progress)
        results = [getattr(prediction, output) for prediction in bar]
        return results[0] if is_single(source) else results

    def stream(
        self, source: Any, outputs: Iterable[str] = ("labels",), *, channel_order: str = "RGB"
    ) -> Iterator[Prediction]:
        """Yield a :class:`Prediction` per image; arguments and errors are those of calling.

        ``outputs`` are any of "labels", which are always there, "probabilities" and "confidence".
        """
        for result in self.attempt(image_sources(source, channel_order, self.images), outputs):
            if isinstance(result, Exception):
                raise result
            yield result

    def attempt(
        self, sources: Iterable[ImageSource], outputs: Iterable[str] = ("labels",)
    ) -> Iterator[Prediction | Exception]:
        """Yield for each source its prediction, or the error that it caused."""
        wanted = frozenset(outputs)
        if unknown := wanted.difference(OUTPUTS):
            raise ValueError(f"output is {sorted(unknown)[0]!r}: use one of {', '.join(OUTPUTS)}")
        remaining = iter(sources)
        ahead = 1 if self._batch_size == 1 else _READ_AHEAD * self._batch_size
        while chunk := list(islice(remaining, ahead)):
            yield from self._predict_chunk(chunk, wanted)

    def _predict_chunk(
        self, chunk: Sequence[ImageSource], wanted: frozenset[str]
    ) -> Iterator[Prediction | Exception]:
        """Predict images in batches of those that have one size for the model."""
        results: dict[int, Prediction | Exception] = {}
        records: dict[int, dict] = {}
        images: dict[int, np.ndarray] = {}
        by_size: dict[tuple, list[int]] = defaultdict(list)
        for number, source in enumerate(chunk):
            try:
                image = source.read()
                if self._tile is not None and max(image.shape[:2]) > self._tile:
                    results[number] = self._predict_tiles(source.name, image, wanted)
                    continue
                records[number], images[number] = self._single.record(image), image
                by_size[tuple(records[number]["image"].shape)].append(number)
            except Exception as error:  # whatever one image causes, the others are predicted
                results[number] = error
        for numbers in by_size.values():
            for start in range(0, len(numbers), self._batch_size):
                batch = numbers[start : start + self._batch_size]
                try:
                    found = self._run([records[number] for number in batch], wanted)
                    for number, maps in zip(batch, found, strict=True):
                        results[number] = Prediction(chunk[number].name, images[number], **maps)
                except Exception as error:
                    results |= dict.fromkeys(batch, error)
        yield from (results[number] for number in range(len(chunk)))

    def _predict_tiles(self, name: str, image: np.ndarray, wanted: frozenset[str]) -> Prediction:
        assert self._tile is not None
        height, width = image.shape[:2]
        prediction = Prediction(name, image, np.empty((height, width), self._label_dtype))
        if "confidence" in wanted:
            prediction.confidence = np.empty((height, width), np.float32)
        if "probabilities" in wanted:
            prediction.probabilities = np.empty((self._num_classes, height, width), np.float32)
        tokens = self._tokens(image) if self._replaces_tokens else None
        tiles = make_tiles(height, width, self._tile, self._overlap)
        for start in range(0, len(tiles), self._batch_size):
            batch = tiles[start : start + self._batch_size]
            records = [self._single.record(image[tile.rows, tile.columns]) for tile in batch]
            for tile, maps in zip(batch, self._run(records, wanted, tokens), strict=True):
                rows, columns = tile.inner_rows, tile.inner_columns
                top, left = tile.rows.start, tile.columns.start
                inner = (
                    ...,
                    slice(rows.start - top, rows.stop - top),
                    slice(columns.start - left, columns.stop - left),
                )
                for key, values in maps.items():
                    getattr(prediction, key)[..., rows, columns] = values[inner]
        return prediction

    def _tokens(self, image: np.ndarray) -> list[list[Tensor]]:
        assert isinstance(self.model, OptimizedSegmentor)
        assert self._tile is not None
        if not self.cfg.INPUT.MIN_SIZE_TEST:  # tests keep the size, which may not fit into memory
            height, width = image.shape[:2]
            scale = self._tile / max(height, width)
            new = (max(1, round(height * scale)), max(1, round(width * scale)))
            image = FastResizeTransform(height, width, *new).apply_image(image)
        with evaluation_autocast(self.cfg, self.model):
            return self.model.tokens(self._single.record(image))

    @torch.no_grad()
    def _run(
        self,
        records: list[dict],
        wanted: frozenset[str],
        tokens: list[list[Tensor]] | None = None,
    ) -> list[dict[str, np.ndarray]]:
        """Return labels, and what else is wanted, of images of one size."""
        outputs: Any
        read: Any
        together = len(records)
        if next(self.model.parameters()).is_cpu:
            height, width = records[0]["image"].shape[-2:]
            together = max(1, _CPU_BATCH_PIXELS // (height * width))
        found: list[dict[str, np.ndarray]] = []
        for start in range(0, len(records), together):
            part = records[start : start + together]
            with evaluation_autocast(self.cfg, self.model):
                if isinstance(self.model, OptimizedSegmentor):
                    outputs, read = self.model.logit_maps(part, tokens), self._read_map
                else:
                    outputs, read = self.model(part), self._read_output
            found += [read(output, wanted) for output in outputs]
        return found

    def _read_map(self, logit_map: LogitMap, wanted: frozenset[str]) -> dict[str, np.ndarray]:
        maps = {"labels": self._as_labels(logit_map.label_map())}
        if wanted <= {"labels"}:
            return maps
        strips: dict[str, list[np.ndarray]] = defaultdict(list)
        for top, bottom in logit_map.strips():
            for key, values in _softmax(logit_map.rows(top, bottom), wanted).items():
                strips[key].append(values)
        return maps | {key: np.concatenate(parts, axis=-2) for key, parts in strips.items()}

    def _read_output(self, output: dict, wanted: frozenset[str]) -> dict[str, np.ndarray]:
        sem_seg = output.get("sem_seg")
        if sem_seg is None:
            raise ValueError(
                f"MODEL.META_ARCHITECTURE {self.cfg.MODEL.META_ARCHITECTURE} predicts no semantic "
                "segmentation"
            )
        if sem_seg.ndim == 3:
            labels = {"labels": self._as_labels(sem_seg.argmax(dim=0))}
            return labels | _softmax(sem_seg.float(), wanted)
        if not wanted <= {"labels"}:
            raise ValueError("probabilities need MODEL.SEM_SEG_HEAD.OUTPUT logits")
        return {"labels": self._as_labels(sem_seg)}

    def _as_labels(self, labels: Tensor) -> np.ndarray:
        return labels.cpu().numpy().astype(self._label_dtype)


def _softmax(logits: Tensor, wanted: frozenset[str]) -> dict[str, np.ndarray]:
    """Return probabilities and confidence of logits ``(C, H, W)``, as far as they are wanted."""
    maps = {}
    if not wanted <= {"labels"}:
        probabilities = logits.softmax(dim=0)
        if "probabilities" in wanted:
            maps["probabilities"] = probabilities.cpu().numpy()
        if "confidence" in wanted:
            maps["confidence"] = probabilities.max(dim=0).values.cpu().numpy()
    return maps
