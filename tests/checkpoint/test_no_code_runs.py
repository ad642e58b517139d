"""Whatever way a file with code in it takes into the project, the code does not run."""

import contextlib
import functools
import http.server
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from iopath.common import file_io

from tools import demo, train_net, visualize_tokens
from vt_seg.checkpoint import CheckpointError
from vt_seg.engine import SegmentationCheckpointer, Trainer, evaluate, trained_model
from vt_seg.modeling.distillation import load_teacher


def zip_of(payload, path):
    torch.save({"model": {"weight": payload}}, path)


def legacy(payload, path):
    torch.save({"model": {"weight": payload}}, path, _use_new_zipfile_serialization=False)


def plain_pickle(payload, path, protocol=2):
    path.write_bytes(pickle.dumps({"model": payload, "__author__": "someone"}, protocol))


def beside_the_weights(payload, path):
    torch.save({"model": {"weight": torch.ones(2)}, "args": payload}, path)


def in_the_average(payload, path):
    torch.save({"model": {"weight": torch.ones(2)}, "ema": {"module.weight": payload}}, path)


def array_of_objects(payload, path):
    path.write_bytes(pickle.dumps({"conv1_w": np.array([payload], object)}))


def array_in_a_zip(payload, path):
    torch.save({"model": {"weight": np.array([payload], object)}}, path)


KINDS = {
    "zip.pth": zip_of,
    "legacy.pth": legacy,
    "pickle.pth": plain_pickle,
    "zip.pkl": zip_of,
    "legacy.pkl": legacy,
    "pickle0.pkl": functools.partial(plain_pickle, protocol=0),
    "pickle2.pkl": plain_pickle,
    "pickle5.pkl": functools.partial(plain_pickle, protocol=5),
    "pickle.pyth": plain_pickle,
    "zip.pyth": zip_of,
    "pickle.safetensors": plain_pickle,
    "zip.safetensors": zip_of,
    "beside.pth": beside_the_weights,
    "average.pth": in_the_average,
    "objects.pkl": array_of_objects,
    "objects.pth": array_in_a_zip,
}


@pytest.fixture
def files(tmp_path, marker):
    """One file of each kind. Each would run its code, had one the old way of loading it."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, write in KINDS.items():
        write(marker.payload, folder / name)
        with open(folder / name, "rb") as file:
            if "pickle" in name or name == "objects.pkl":
                pickle.load(file, encoding="latin1")
            else:
                torch.load(file, weights_only=False)
        assert marker.made(), name
    return [str(folder / name) for name in KINDS]


def train(cfg):
    Trainer(cfg).resume_or_load(resume=False)


def run_tool(tool, cfg, image):
    """The tool on the config of a file, which says all that ``cfg`` does."""
    path = os.path.join(os.path.dirname(image), "config.yaml")
    with open(path, "w") as file:
        file.write(cfg.dump())
    tool.main(tool.parse_args(["--config-file", path, "--input", image, *_weights(cfg)]))


def _weights(cfg):
    return ["--opts", "MODEL.WEIGHTS", cfg.MODEL.WEIGHTS]


WAYS = {
    "training": lambda cfg, image: train(cfg),
    "evaluation": lambda cfg, image: evaluate(cfg),
    "predictor": lambda cfg, image: trained_model(cfg),
    "demo": lambda cfg, image: run_tool(demo, cfg, image),
    "token tool": lambda cfg, image: run_tool(visualize_tokens, cfg, image),
    "teacher": lambda cfg, image: load_teacher("test_resnet", 7, cfg.MODEL.WEIGHTS),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_file_runs_code(files, marker, slim_cfg, scenes_root, way):
    if way == "teacher":
        pytest.importorskip("timm")
    image = str(next((scenes_root / "vt_scenes/images/val").iterdir()))
    for file in files:
        slim_cfg.MODEL.WEIGHTS = file
        with pytest.raises(CheckpointError, match="is refused: it "):
            WAYS[way](slim_cfg, image)
        assert not marker.path.exists(), file


@pytest.mark.parametrize("way", ["training", "evaluation"])
def test_no_checkpoint_of_a_resumed_run_runs_code(files, marker, slim_cfg, way):
    resume = {
        "training": lambda: Trainer(slim_cfg).resume_or_load(resume=True),
        "evaluation": lambda: evaluate(slim_cfg, resume=True),
    }[way]
    for file in files:
        # As a checkpoint of a run, and under a name that only `last_checkpoint` leads to.
        for name in ("model_0000009.pth", os.path.basename(file)):
            folder = Path(slim_cfg.OUTPUT_DIR)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            shutil.copy(file, folder / name)
            (folder / "last_checkpoint").write_text(name)
            if name.startswith("model_"):
                with pytest.raises(CheckpointError):
                    resume()
            else:
                with contextlib.suppress(ValueError):  # refused, or not looked at
                    resume()
            assert not marker.path.exists(), file


def test_the_command_line_runs_no_code(files, marker, slim_cfg, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(slim_cfg.dump())
    for flags in ([], ["--eval-only"]):
        arguments = ["--config-file", str(path), *flags, "MODEL.WEIGHTS", files[6]]
        with pytest.raises(SystemExit, match=r"pickle2.pkl is refused: it names posix.mkdir"):
            train_net.main(train_net.default_argument_parser().parse_args(arguments))
        assert not marker.path.exists()


@pytest.mark.parametrize("name", ["pickle2.pkl", "zip.pth"])
def test_a_downloaded_file_runs_no_code(files, marker, tmp_path, monkeypatch, name):
    """Addresses go through Detectron2's path manager, and what it fetched is read alike."""
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
