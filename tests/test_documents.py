"""The documents are true: their code runs, and the files and flags that they name exist."""

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.modeling import BACKBONE_REGISTRY, SEM_SEG_HEADS_REGISTRY, build_model

import vt_seg
from data_prep.tests import dataset_variants, export_files
from vt_seg import user_modules
from vt_seg.data import read_mask, unregister
from vt_seg.engine import SegmentationCheckpointer, load_cfg

from .data.image_files import gradient, write_png
from .document_walk import (
    INSTALLED,
    NOT_RUN,
    PAGES,
    ROOT,
    SMALLER,
    blocks,
    commands,
    walk,
    write_files,
)
from .small_configs import SLIM, TINY_SCENES, TINY_SHAPES
from .tiny_datasets import write_coco, write_lip, write_tiny_scenes

SCENES = "configs/vtfpn_R18_scenes.yaml"
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
WALKED = [
    page
    for page in PAGES
    if page not in INSTALLED and any(b.language in ("sh", "python", "yaml") for b in blocks(page))
]
# Weights that a page takes for granted, with their config.
WEIGHTS = {
    "README.md": {
        "output/vtfpn_R18_scenes/model_final.pth": SCENES,
        "coco.pth": "configs/vtfpn_R50_cocostuff.yaml",
        "lip.pth": "configs/vtfpn_R50_lip.yaml",
    },
    "docs/classification.md": {"model.pth": "configs/imagenet/vtresnet_v4_R18_default.yaml"},
    "docs/tokens.md": {
        "output/vtfpn_R18_scenes/model_final.pth": SCENES,
        "model.pth": SCENES,
    },
    "docs/evaluation.md": {"output/my_data/model_final.pth": "my_data.yaml"},
    "docs/handing_over.md": {"output/vtfpn_R18_scenes/model_final.pth": SCENES},
    "docs/padding.md": {"output/vtfpn_R18_scenes/model_final.pth": SCENES},
}


def write_my_data(my: Path = Path("my")) -> None:
    """Write images, palette masks and the list of three classes into a folder."""
    colors = np.array([(90, 60, 30), (40, 160, 60), (30, 60, 200)], np.uint8)
    for split, count in (("train", 6), ("val", 3)):
        for number in range(count):
            columns = (np.arange(48) // 16 + number) % 3
            mask = np.repeat(columns[None], 40, 0).astype(np.uint8)
            mask[:3] = 255
            image = colors[np.where(mask == 255, 0, mask)]
            write_png(my / f"images/{split}/{number}.png", image)
            write_png(my / f"masks/{split}/{number}.png", mask, palette=True)
    (my / "classes.txt").write_text("earth\ngrass\nwater\n")


def write_annotations() -> None:
    """Write the annotations that docs/converting.md converts, all of them of the same images."""
    for split, names in (("train", "abcd"), ("val", "ef")):
        files = Path("files") / split
        export_files.write_labelme(files, names).rename(f"my/{split}")
        export_files.write_json(Path(f"my/{split}.json"), export_files.coco(names))
        export_files.write_colors(files, names)
        Path("my/colors").mkdir(exist_ok=True)
        (files / "colors").rename(f"my/colors/{split}")
        (files / "labelmap.txt").replace("my/labelmap.txt")
    Path("my/labels.txt").write_text("__ignore__\n_background_\ncat\ndog\n")


def write_config(path: Path, content: dict, overrides: list[str]) -> None:
    """Write a config with ``[KEY, VALUE, ...]`` added to its content."""
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        node = content
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    path.write_text(yaml.safe_dump(content))


def write_small_configs(text: str) -> None:
    """Write each config that a text names: it inherits that of the checkout, and makes it small."""
    for name in {SCENES, "configs/fpn_R18_scenes.yaml", *re.findall(r"configs/[\w/]+\.yaml", text)}:
        whole = CfgNode.load_yaml_with_base(str(ROOT / name), allow_unsafe=False)
        overrides = [*TINY_SCENES, *SLIM, "MODEL.DEVICE", "cpu"]
        if whole.get("MODEL", {}).get("META_ARCHITECTURE") == "ImageClassifier":
            overrides = [*TINY_SHAPES, *SLIM, "MODEL.DEVICE", "cpu"]
        if "imagenet" in name:
            overrides += ["MODEL.CLASSIFIER.NUM_CLASSES", "3", "SOLVER.REFERENCE_WORLD_SIZE", "0"]
        overrides += ["MODEL.VT_RESNET.TOKEN_CHANNELS", "64"]
        if whole.get("MODEL", {}).get("WEIGHTS", "").startswith("detectron2://"):
            overrides += ["MODEL.WEIGHTS", ""]
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_config(Path(name), {"_BASE_": str(ROOT / name)}, overrides)


def write_weights(file: str, config: str) -> None:
    """Write random weights of a config, and that as a run does."""
    folder, name = os.path.split(os.path.abspath(file))
    os.makedirs(folder, exist_ok=True)
    cfg = load_cfg(config)
    Path(folder, "config.yaml").write_text(cfg.dump())
    model = build_model(cfg)
    SegmentationCheckpointer(model, folder).save(
        name.removesuffix(".pth"), trainer={"iteration": 0}
    )


def prepare(page: str) -> dict:
    """Write what a page takes for granted into the working directory; return its variables."""
    for name in ("examples", "research", "tools"):
        Path(name).symlink_to(ROOT / name)
    Path("datasets").mkdir()
    for path in (ROOT / "datasets").iterdir():
        if path.suffix == ".py" or path.name == "data_prep":
            Path("datasets", path.name).symlink_to(path)
    write_small_configs(TEXTS[page])
    write_my_data()
    write_files("README.md")
    for image in ("image.jpg", "a.jpg", "folder/b.jpg", "x/c.png"):
        write_png(Path(image), gradient(70, 90))
    root = Path("datasets")
    if page == "datasets/README.md":
        for split in ("train", "val"):
            dataset_variants.write_panoptic(root, split, 2)
            dataset_variants.write_stuffthingmaps(root, split, 2)
            dataset_variants.write_lip(root, "flat", split)
        return {}
    write_tiny_scenes(root)
    write_coco(root, "panoptic_stuff_{split}2017", [0, 1, 2, 53])
    write_lip(root)
    for number in range(12):
        split, folder = ("train", "val")[number % 2], f"n0144000{number % 3}"
        write_png(root / f"imagenet/{split}/{folder}/{number}.JPEG", gradient(40, 50 + number))
    if page == "docs/converting.md":
        write_annotations()
    if page == "docs/classification.md":
        for number, file in enumerate(re.findall(r"my/\w+/\w+/\d\.\w+", TEXTS[page])):
            write_png(Path(file), gradient(40, 50 + number))
    for file, config in WEIGHTS.get(page, {}).items():
        write_weights(file, config)
    return GIVEN.get(page, dict)()


def neck_inputs() -> dict:
    sizes, channels = [(9, 7), (5, 4), (3, 2), (2, 1)], [256, 512, 1024, 2048]
    maps = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    shutil.copy("configs/fpn_R18_scenes.yaml", "my_semantic_fpn.yaml")
    return dict(zip(["res2", "res3", "res4", "res5"], maps, strict=True))


def model_inputs() -> dict:
    cfg = load_cfg(SCENES)
    image = torch.randint(0, 256, (3, 70, 90), dtype=torch.uint8)
    return {"model": build_model(cfg).eval(), "batched_inputs": [{"image": image}]}


def four_channels() -> dict:
    np.save("a.npy", np.full((20, 30, 4), (1, 2, 3, 4), np.uint16))
    Path("my/classes.txt").write_text("ground\nleft wing\nright wing\n")
    return {"paths": ["a.npy"]}


GIVEN = {
    "README.md": neck_inputs,
    "docs/custom_data.md": four_channels,
    "docs/light_inference.md": model_inputs,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return an empty working directory; what is registered and imported there is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DETECTRON2_DATASETS", "datasets")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # so that no script starts processes
    monkeypatch.setattr(user_modules, "_imported", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    for registry in (BACKBONE_REGISTRY, SEM_SEG_HEADS_REGISTRY):
        monkeypatch.setattr(registry, "_obj_map", dict(registry._obj_map))
    vt_seg.register_all_datasets("datasets")
    known = set(DatasetCatalog.list())
    yield tmp_path
    unregister(*(set(DatasetCatalog.list()) - known))
    vt_seg.register_all_datasets()
    sys.modules.pop("my_ideas", None)
    shutil.rmtree(tmp_path / "output", ignore_errors=True)


@pytest.mark.parametrize("page", WALKED)
def test_code_of_a_page_runs(page, folder, capfd):
    names = walk(page, prepare(page))
    CHECKS.get(page, lambda printed, names: None)(capfd.readouterr().out, names)


def check_readme(printed, names):
    section = TEXTS["README.md"].partition("## Your own data\n")[2].partition("\n## ")[0]
    assert len([line for line in section.splitlines() if line and "```" not in line]) <= 32
    # Each class has a third of the 37 of 40 rows that are not ignored.
    for said in (
        *("6 of 6 pairs decoded", "30.83 %", "0 errors", "3 of 3 pairs decoded"),
        "6 of 6 palette masks: the indices are read as labels",
    ):
        assert said in printed
    log = Path("output/my_data/log.txt").read_text()
    assert "10 iterations" in log
    miou = re.search(r"Done: mIoU (\d+\.\d+) %, weights in output/my_data/model_final.pth", log)[1]
    assert re.search(rf"\bmIoU {re.escape(miou)}", log[log.index("model_final.pth") :])
    pictures = sorted(path.name for path in Path("output/my_data/predictions").iterdir())
    assert pictures == [*(f"{i}_comparison.jpg" for i in range(3)), "overview.png"]
    assert names["label_map"].shape == (70, 90)
    assert names["label_map"].max() < 14
    sizes = [tuple(x.shape[2:]) for x in names["maps"]]
    assert sizes == [tuple(names[name].shape[2:]) for name in ("res2", "res3", "res4", "res5")]


def check_classification(printed, names):
    table = Path("output/my_classes/inference/classification_per_class.csv").read_text()
    counted = [line.rpartition(",")[0] for line in table.splitlines()]
    assert counted == ["class,images", "cat,1", "dog,1", "owl,1", "all images,3"]


def check_converting(printed, names):
    configs = [yaml.safe_load(b.text) for b in blocks("docs/converting.md") if b.file]
    entries = [entry for config in configs for entry in config["DATASETS"]["CUSTOM"]]
    found = re.findall(r"^DATASETS:\n(?: .*\n)+", printed, re.M)
    assert [yaml.safe_load(text)["DATASETS"]["CUSTOM"][0] for text in found] == entries
    for entry in entries:
        for mask in Path(entry["MASKS"]).iterdir():
            np.testing.assert_array_equal(read_mask(mask), export_files.cat_and_dog())
    for config in configs:
        log = Path(config["OUTPUT_DIR"], "log.txt").read_text()
        assert re.search(r"Done: mIoU \d+\.\d+ %", log)


def check_extending(printed, names):
    log = Path("output/my_model/log.txt").read_text()
    assert "UserAugmentation(my_ideas.darken), UserAugmentation(torchvision.transforms.v2." in log
    written = yaml.safe_load(Path("output/my_model/config.yaml").read_text())
    assert written["VT_SEG"] == {"IMPORT": ["my_ideas.py"]}
    assert written["MODEL"]["PATCHES"] == {"SIZE": 8, "CHANNELS": 32}


def check_tokens(printed, names):
    # Tokens in each of four scenes; a peak is between uniform and all on one pixel.
    peaks = torch.stack(names["peaks"])
    assert peaks.shape[0] == 4
    assert 1 < peaks.min() <= peaks.max() <= 256


def check_custom_data(printed, names):
    assert "[1.0, 2.0, 3.0, 4.0] [0.0, 0.0, 0.0, 0.0]" in printed


CHECKS = {
    "README.md": check_readme,
    "docs/classification.md": check_classification,
    "docs/converting.md": check_converting,
    "docs/custom_data.md": check_custom_data,
    "docs/extending.md": check_extending,
    "docs/tokens.md": check_tokens,
}


def test_every_block_is_run_or_is_no_code():
    """Plain blocks are output and listings; ```text shows the use of a command."""
    other = ("", "text", "bibtex")
    found = [(page, block) for page in PAGES for block in blocks(page)]
    for page, block in found:
        assert block.language is not None, f"{block.place} is indented: use a fence"
        assert block.language.startswith("{") or block.language in ("sh", "python", "yaml", *other)
        command = re.match(r"(python|pip|make|vt-seg|bash) ", block.text)
        assert block.language or not command, f"{block.place}: write ```sh, so that it is run"
        shell = "".join(b.text for p, b in found if p == page and b.language == "sh")
        assert block.file in shell, f"{block.place}: no command of the page uses {block.file}"
    code = [line for _, block in found for line in (*commands(block), block.text)]
    unused = [start for start in NOT_RUN if not any(line.startswith(start) for line in code)]
    unused += [long for long in SMALLER if not any(long in line for line in code)]
    assert not unused, "remove them from document_walk.py"


@pytest.mark.parametrize("document", PAGES)
def test_documents_name_files_that_exist(document):
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (path.parent / link).exists()]
    folders = "configs|datasets|dev|docs|examples|research|tests|tools|vt_seg"
    named = re.findall(rf"(?<![\w/.$])((?:{folders})/[\w/]+\.(?:py|md))\b", text)
    missing += [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    assert not missing
