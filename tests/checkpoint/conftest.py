"""Payloads that show whether code ran, and the ways in which the project reads weights."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from tests.engine.conftest import scenes_root, slim_cfg  # noqa: F401  (fixtures)
from tools import demo, visualize_tokens
from vt_seg.engine import Trainer, evaluate, trained_model

WEIGHTS = {"a.weight": torch.arange(600.0).reshape(20, 30), "a.bias": torch.ones(2)}


def as_arrays(weights):
    return {key: value.numpy() for key, value in weights.items()}


class Marker:
    """An object that makes a folder when it is unpickled without restriction."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)

    def made(self) -> bool:
        """Return True if the code has run; the next one may."""
        was_made = self.path.exists()
        if was_made:
            self.path.rmdir()
        return was_made


@pytest.fixture
def marker(tmp_path):
    marker = Marker(tmp_path / "code has run")
    pickle.loads(pickle.dumps(marker))
    assert marker.made()  # the payload does what it should
    return marker


@pytest.fixture
def image(scenes_root):  # noqa: F811
    return str(next((scenes_root / "vt_scenes/images/val").iterdir()))


def run_tool(tool, cfg, image):
    """Run a tool with a file of the config and its weights on the command line."""
    path = os.path.join(os.path.dirname(image), "config.yaml")
    Path(path).write_text(cfg.dump())
    weights = ["--opts", "MODEL.WEIGHTS", cfg.MODEL.WEIGHTS]
    tool.main(tool.parse_args(["--config-file", path, "--input", image, *weights]))


# Each reads cfg.MODEL.WEIGHTS; all but fine-tuning need all of a model.
PREDICTIONS = {
    "evaluation": lambda cfg, image: evaluate(cfg),
    "predictor": lambda cfg, image: trained_model(cfg),
    "demo": lambda cfg, image: run_tool(demo, cfg, image),
    "token tool": lambda cfg, image: run_tool(visualize_tokens, cfg, image),
}
WAYS = {
    "fine-tuning": lambda cfg, image: Trainer(cfg).resume_or_load(resume=False),
    **PREDICTIONS,
}
