"""Write, check and read the folder that holds a trained segmentation model, without any pickle."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.modeling import build_model
from fvcore.common.config import BASE_KEY
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from vt_seg.checkpoint import check_tensors
from vt_seg.config import default_config
from vt_seg.config_file import asked_imports, merge_config_file, read_yaml
from vt_seg.config_without_paths import config_without_paths
from vt_seg.engine import check_config, task_of, trained_model
from vt_seg.files import parse_json, read_text, require_regular_file, write_atomically
from vt_seg.user_modules import add_user_keys, import_modules

from .model_card import model_card

WEIGHTS, CONFIG, CLASSES, CARD = "model.safetensors", "config.yaml", "classes.json", "README.md"
CHECKSUMS = "checksums.json"
_FILES = (WEIGHTS, CONFIG, CLASSES, CARD)

_ID = re.compile(r"[\w.-]+/[\w.-]+")

# What a folder's config does not need of that of a training, besides paths.
_TRAINING_KEYS: dict[str, Any] = {
    "MODEL.CLASSIFIER.DISTILLATION.TEACHER": "",
    "DATASETS.TRAIN": (),
    "DATASETS.TEST": (),
    "OUTPUT_DIR": "output",
}


class Pretrained(NamedTuple):
    """A model that was read from a folder.

    Attributes:
        model: in evaluation mode, on ``cfg.MODEL.DEVICE``, with its weights.
        cfg: its config; ``MODEL.WEIGHTS`` is the file of the folder and ``DATASETS.TEST`` a name
            whose metadata are the classes, so that ``SemSegPredictor(cfg)`` predicts with it.
        metadata: ``stuff_classes``, ``stuff_colors``, ``ignore_label``, ``flip_label_pairs``.
    """

    model: nn.Module
    cfg: CfgNode
    metadata: Metadata


def save_pretrained(
    model: nn.Module,
    cfg: CfgNode,
    folder: str | os.PathLike,
    *,
    results: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write a segmentation model into a folder that another machine can use.

    ``model.safetensors`` has the weights, ``config.yaml`` the config without its paths,
    ``classes.json`` names, colours and the input's convention, ``README.md`` is a model card, and
    ``checksums.json`` lets :func:`from_pretrained` notice damage.

    Args:
        model: the plain model, not a copy of ``vt_seg.inference.optimize``.
        cfg: the config that it was built from, whose datasets are registered.
        folder: is made if there is none. Nothing in it is overwritten.
        results: what :func:`vt_seg.engine.evaluate` returned, for the model card.

    Raises:
        FileExistsError: if the folder has one of the files already.
        OSError: if a file cannot be written; none is left.
        ValueError: if the model does not segment semantically, its datasets have no metadata, or
            its weights are not those of a model of ``cfg``.
    """
    task = task_of(cfg)
    task.require_segmentation()
    folder = Path(folder)
    for name in (*_FILES, CHECKSUMS):
        if os.path.lexists(folder / name):
            raise FileExistsError(f"{folder / name} is there already: take another folder")
    classes = _describe_classes(cfg)
    state = _state_of(model, cfg)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        CONFIG: _portable(cfg).dump().encode(),
        CLASSES: json.dumps(classes, indent=1, ensure_ascii=False).encode(),
        CARD: model_card(cfg, classes["classes"], results or {}).encode(),
        WEIGHTS: save(state, metadata={"format": "pt"}),
    }
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    # The last file: without it the folder is incomplete.
    contents[CHECKSUMS] = json.dumps(sums, indent=1).encode()
    written: list[Path] = []
    try:
        for name, content in contents.items():
            write_atomically(folder / name, content, overwrite=False)
            written.append(folder / name)
    except BaseException:
        for path in written:  # so that the same folder can be taken again
            path.unlink(missing_ok=True)
        raise


def from_pretrained(
    source: str | os.PathLike, *, device: str | None = None, imports: Sequence[str] = ()
) -> Pretrained:
    """Return the model of a folder of :func:`save_pretrained`.

    Nothing of the folder is run: the config is data, and the weights are safetensors.

    Args:
        source: the folder, or the id of a repository on the Hugging Face Hub, "owner/name" or
            "owner/name@revision", which needs the package huggingface_hub.
        device: ``MODEL.DEVICE``; None is a GPU if there is one.
        imports: your modules that the model needs (see :func:`vt_seg.engine.load_cfg`).

    Raises:
        FileNotFoundError: if there is no such folder, or it lacks a file.
        ImportError: if an id is given and huggingface_hub is not installed.
        ValueError: if a file was changed or is damaged; or if the config names parts that are not
            registered or modules that are not among ``imports``, or does not fit this version.
    """
    cfg, metadata = pretrained_config(source, device=device, imports=imports)
    return Pretrained(trained_model(cfg), cfg, metadata)


def pretrained_config(
    source: str | os.PathLike, *, device: str | None = None, imports: Sequence[str] = ()
) -> tuple[CfgNode, Metadata]:
    """Return what :func:`from_pretrained` does, which has the arguments and errors, but the model.

    ``trained_model(cfg)`` and ``SemSegPredictor(cfg)`` build it.
    """
    folder = _local_folder(source)
    _check_files(folder)
    content = read_yaml(str(folder / CONFIG))
    if isinstance(content, dict) and BASE_KEY in content:  # which merging would read or download
        raise ValueError(f"{folder / CONFIG} was not written by save_pretrained: it has a _BASE_")
    given = [os.path.basename(name) for name in imports]
    if missing := [name for name in asked_imports(str(folder / CONFIG)) if name not in given]:
        raise ValueError(
            f"{folder}: the model needs {', '.join(missing)}, whose code would run: if you have it "
            "and trust it, add --import FILE (in Python: imports=[FILE])"
        )
    import_modules(imports)
    cfg = default_config()
    add_user_keys(cfg, imports)
    merge_config_file(cfg, str(folder / CONFIG))
    kept = _portable(cfg)
    if kept != cfg:
        raise ValueError(f"{folder / CONFIG} was not written by save_pretrained: it names paths")
    if device is not None:
        cfg.MODEL.DEVICE = str(device)
    check_config(cfg)
    metadata = _register(folder / CLASSES, cfg)
    cfg.DATASETS.TEST = (metadata.name,)
    cfg.MODEL.WEIGHTS = str(folder / WEIGHTS)
    return cfg, metadata


def is_pretrained(folder: str | os.PathLike) -> bool:
    """Return True if a folder has one of the two files that only :func:`save_pretrained` writes."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in (CHECKSUMS, CLASSES))


def push_to_hub(
    folder: str | os.PathLike, repo_id: str, *, private: bool = False, token: str | None = None
) -> str:
    """Upload a folder of :func:`save_pretrained` to the Hugging Face Hub; return its address.

    Raises:
        FileNotFoundError: if the folder lacks a file.
        ImportError: if huggingface_hub is not installed.
        OSError: if the Hub cannot be reached, or refuses.
        ValueError: if a file was changed since it was written.
    """
    folder = Path(folder)
    _check_files(folder)
    api = _huggingface_hub().HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        patterns = [*_FILES, CHECKSUMS]
        address = api.upload_folder(
            repo_id=repo_id, folder_path=str(folder), allow_patterns=patterns
        )
    except Exception as error:  # of many kinds, by huggingface_hub's version and the network
        raise OSError(f"{folder} cannot be uploaded to {repo_id!r}: {error}") from error
    return str(address)


def _portable(cfg: CfgNode) -> CfgNode:
    """Return a copy of a config without paths and with the ``_TRAINING_KEYS`` replaced."""
    cfg = config_without_paths(cfg)
    cfg.merge_from_list([part for pair in _TRAINING_KEYS.items() for part in pair])
    return cfg


def _describe_classes(cfg: CfgNode) -> dict[str, Any]:
    names = (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    metadata = MetadataCatalog.get(names[0]) if names else None
    if metadata is None or not metadata.get("stuff_classes"):
        raise ValueError(
            f"DATASETS {names} has no metadata with stuff_classes: name a registered dataset, "
            "whose classes go into the folder"
        )
    colors = metadata.get("stuff_colors")
    pairs = metadata.get("flip_label_pairs", ())
    return {
        "classes": list(metadata.stuff_classes),
        "colors": [[int(value) for value in color] for color in colors] if colors else None,
        "flip_label_pairs": [[int(label) for label in pair] for pair in pairs],
        **_input_convention(cfg),
    }


def _state_of(model: nn.Module, cfg: CfgNode) -> dict[str, Any]:
    """Return the weights on the CPU; raise ValueError if a model of ``cfg`` has others."""
    cfg = _portable(cfg)
    cfg.MODEL.DEVICE = "cpu"
    expected = build_model(cfg).state_dict()
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    different = sorted(
        name
        for name in expected.keys() | state.keys()
        if name not in state or name not in expected or expected[name].shape != state[name].shape
    )
    if different:
        raise ValueError(
            f"the model is not that of the config: {len(different)} tensors differ, first "
            f"{different[0]}. Pass the plain model and the config that it was built from"
        )
    check_tensors(state, "the model", expected)  # as reading the folder does
    return state


def _local_folder(source: str | os.PathLike) -> Path:
    """Return the folder, downloaded into the cache of huggingface_hub if ``source`` is an id."""
    folder = Path(source)
    if folder.is_dir():
        return folder
    repository, _, revision = str(source).partition("@")
    if not _ID.fullmatch(repository):
        raise FileNotFoundError(f"{source} is no folder, and no id such as owner/name either")
    hub = _huggingface_hub()
    try:
        return Path(
            hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=[*_FILES, CHECKSUMS]
            )
        )
    except Exception as error:  # of many kinds, by huggingface_hub's version and the network
        reason = str(error).partition("\n")[0]
        raise FileNotFoundError(
            f"{source} is no folder here, and cannot be downloaded: {reason}"
        ) from error


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "the Hugging Face Hub needs a package: pip install 'vt_seg[hub]' (a folder on this "
            "machine does not)"
        ) from error
    return huggingface_hub


def _check_files(folder: Path) -> None:
    """Raise FileNotFoundError or ValueError unless all files are there and as they were written."""
    for name in (CHECKSUMS, *_FILES):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}: it is no folder of save_pretrained, or an incomplete copy"
            )
        require_regular_file(folder / name)
    sums = parse_json(read_text(folder / CHECKSUMS), str(folder / CHECKSUMS))
    if not isinstance(sums, dict):
        raise ValueError(f"{folder / CHECKSUMS} was changed since it was written: it is no mapping")
    for name in _FILES:
        if sums.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
            raise ValueError(
                f"{folder / name} was changed or damaged since it was written: its SHA-256 is not "
                f"that of {CHECKSUMS}. Copy the folder again"
            )
    try:
        with safe_open(folder / WEIGHTS, framework="pt"):
            pass
    except SafetensorError as error:  # such as a pickle under this name
        raise ValueError(f"{folder / WEIGHTS} holds no safetensors: {error}") from error


def _checks(classes: dict[str, Any], cfg: CfgNode) -> dict[str, bool]:
    """Return for each key of ``classes.json`` whether its value can be right."""
    count, colors = len(classes["classes"]), classes.get("colors")
    return {
        "classes": count == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
        "colors": colors is None or (_are_rows(colors, 3, 256) and len(colors) == count),
        "flip_label_pairs": _are_rows(classes.get("flip_label_pairs"), 2, count),
        **{key: classes.get(key) == value for key, value in _input_convention(cfg).items()},
    }


def _input_convention(cfg: CfgNode) -> dict[str, Any]:
    return {
        "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        "channel_order": cfg.INPUT.FORMAT,
        "pixel_mean": list(cfg.MODEL.PIXEL_MEAN),
        "pixel_std": list(cfg.MODEL.PIXEL_STD),
    }


def _are_rows(rows: Any, length: int, limit: int) -> bool:
    """Return True for a list of lists of ``length`` whole numbers from 0, below ``limit``."""
    return isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) == length
        and all(type(value) is int and 0 <= value < limit for value in row)
        for row in rows
    )


def _register(path: Path, cfg: CfgNode) -> Metadata:
    """Return metadata with the classes of a file, under a name that its content decides."""
    text = read_text(path)
    classes = parse_json(text, str(path))
    names = classes.get("classes") if isinstance(classes, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path} has no list of classes: it was not written by save_pretrained")
    for key, is_right in _checks(classes, cfg).items():
        if key not in classes or not is_right:
            raise ValueError(
                f"{path}: {key} is missing, wrong or not that of {CONFIG}: copy the folder again"
            )
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    metadata = MetadataCatalog.get(f"pretrained_{digest}")
    metadata.set(
        stuff_classes=names,
        ignore_label=classes["ignore_label"],
        flip_label_pairs=tuple(tuple(pair) for pair in classes["flip_label_pairs"]),
        evaluator_type="sem_seg",
    )
    if classes["colors"]:
        metadata.set(stuff_colors=[tuple(color) for color in classes["colors"]])
    return metadata
