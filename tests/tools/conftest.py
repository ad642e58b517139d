import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.engine import default_argument_parser

import vt_seg
from tools.train_net import main

ROOT = Path(__file__).parents[2]


class Runner:
    """Runs the scripts of a folder as a user does, in processes of their own."""

    def __init__(self, datasets: Path, folder: str = "tools") -> None:
        self.folder = ROOT / folder
        path = os.pathsep.join(filter(None, [str(ROOT), os.getenv("PYTHONPATH")]))
        self.environment = {**os.environ, "DETECTRON2_DATASETS": str(datasets), "PYTHONPATH": path}
        self.environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def start(self, tool: str, *arguments: object) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, str(self.folder / tool), *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, tool: str, *arguments: object, succeeds: bool = True) -> str:
        """Everything that the tool printed."""
        process = self.start(tool, *arguments)
        output, _ = process.communicate(timeout=240)
        assert (process.returncode == 0) == succeeds, output[-4000:]
        return output


@pytest.fixture
def tools(tmp_path):
    return Runner(tmp_path / "datasets")


@pytest.fixture
def registered(tmp_path):
    """The folder of the datasets, which are registered there while a test runs."""
    vt_seg.register_all_datasets(str(tmp_path / "datasets"))
    yield tmp_path / "datasets"
    vt_seg.register_all_datasets()


@pytest.fixture
def train_net(registered):
    """Run train_net's ``main`` in this process, with datasets below tmp_path."""
    parser = default_argument_parser()
    return lambda *arguments: main(parser.parse_args([str(a) for a in arguments]))


@pytest.fixture
def out(tmp_path):
    """An output folder, removed afterwards: checkpoints of a ResNet-50 are large."""
    folder = tmp_path / "out"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
