"""Code in a file of weights does not run, whichever way the file is read."""

import contextlib
import functools
import http.server
import io
import itertools
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.engine import default_argument_parser
from detectron2.modeling import build_backbone
from iopath.common import file_io

from tests.checkpoint.conftest import WAYS
from tests.small_configs import small_cfg
from tools import train_net
from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import SegmentationCheckpointer, Trainer, evaluate
from vt_seg.modeling.distillation import load_teacher


def contents(payload):
    ones = {"weight": torch.ones(2)}
    return {
        "model": {"model": {"weight": payload}, "__author__": "someone"},
        "arguments": {"model": ones, "args": payload},
        "average": {"model": ones, "ema": {"module.weight": payload}},
        "array": {"conv1_w": np.array([payload], object)},
    }


# The content, and how it is written: a format of torch.save or a protocol of pickle.
KINDS = {
    "zip.pth": ("model", "zip"),
    "legacy.pth": ("model", "legacy"),
    "pickle.pth": ("model", 2),
    "zip.pkl": ("model", "zip"),
    "legacy.pkl": ("model", "legacy"),
    "pickle0.pkl": ("model", 0),
    "pickle2.pkl": ("model", 2),
    "pickle5.pkl": ("model", 5),
    "pickle.pyth": ("model", 2),
    "zip.pyth": ("model", "zip"),
    "pickle.safetensors": ("model", 2),
    "zip.safetensors": ("model", "zip"),
    "arguments.pth": ("arguments", "zip"),
    "average.pth": ("average", "zip"),
    "objects.pkl": ("array", 4),
    "objects.pth": ("array", "zip"),
}


@pytest.fixture
def files(tmp_path, marker):
    """Write a file of each kind, each of which runs its code if it is loaded without care."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, (kind, how) in KINDS.items():
        content, path = contents(marker)[kind], folder / name
        if isinstance(how, int):
            path.write_bytes(pickle.dumps(content, how))
            pickle.loads(path.read_bytes(), encoding="latin1")
        else:
            torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
            torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
        assert marker.made(), name
    return [str(folder / name) for name in KINDS]


def build_on_timm(cfg, image):
    timm_cfg = small_cfg("MODEL.BACKBONE.NAME", "build_timm_backbone")
    timm_cfg.MODEL.TIMM.update(NAME="test_resnet", WEIGHTS=cfg.MODEL.WEIGHTS)
    build_backbone(timm_cfg)


ALL_WAYS = {
    **WAYS,
    "teacher": lambda cfg, image: load_teacher("test_resnet", 7, cfg.MODEL.WEIGHTS),
    "timm backbone": build_on_timm,
}


@pytest.mark.parametrize("way", ALL_WAYS)
def test_no_file_runs_code(files, marker, slim_cfg, image, way):
    for file in files:
        slim_cfg.MODEL.WEIGHTS = file
        with pytest.raises(CheckpointError, match="is refused: it "):
            ALL_WAYS[way](slim_cfg, image)
        assert not marker.path.exists(), file


@pytest.mark.parametrize("way", ["training", "evaluation"])
def test_no_checkpoint_of_a_resumed_run_runs_code(files, marker, slim_cfg, way):
    resume = {
        "training": lambda: Trainer(slim_cfg).resume_or_load(resume=True),
        "evaluation": lambda: evaluate(slim_cfg, resume=True),
    }[way]
    folder = Path(slim_cfg.OUTPUT_DIR)
    # As a checkpoint of a run, and under a name that only `last_checkpoint` leads to.
    for file, named in itertools.product(files, (False, True)):
        name = os.path.basename(file) if named else "model_0000009.pth"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(file, folder / name)
        (folder / "last_checkpoint").write_text(name)
        # A file of another name is refused or not looked at.
        with contextlib.suppress(ValueError) if named else pytest.raises(CheckpointError):
            resume()
        assert not marker.path.exists(), file


def test_the_command_line_runs_no_code(files, marker, slim_cfg, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(slim_cfg.dump())
    for flags in ([], ["--eval-only"]):
        arguments = ["--config-file", str(path), *flags, "MODEL.WEIGHTS", files[6]]
        with pytest.raises(SystemExit, match=r"pickle2.pkl is refused: it names posix.mkdir"):
            train_net.main(default_argument_parser().parse_args(arguments))
        assert not marker.path.exists()


@pytest.mark.parametrize("name", ["pickle2.pkl", "zip.pth"])
def test_a_downloaded_file_runs_no_code(files, marker, tmp_path, monkeypatch, name):
    """Detectron2's path manager fetches addresses; the file is read as any other."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    directory = os.path.dirname(files[0])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=directory)
    model = torch.nn.Linear(3, 2)
    torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, f"{directory}/good.pth")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(CheckpointError, match=f"{name} is refused: it names"):
                SegmentationCheckpointer(model).load(f"{address}/{name}")
            SegmentationCheckpointer(model).load(f"{address}/good.pth")
        finally:
            server.shutdown()
    assert not marker.path.exists()
    assert torch.equal(model.weight, torch.ones(2, 3))
    assert file_io.get_cache_dir() == str(tmp_path / "cache")
