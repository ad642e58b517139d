"""The Python example of docs/tokens.md runs as it is written."""

import re
from pathlib import Path

import torch
from detectron2.modeling import build_model

import vt_seg
from tests.tiny_datasets import write_tiny_scenes
from vt_seg.engine import SegmentationCheckpointer, load_cfg

ROOT = Path(__file__).parents[3]


def test_example_of_the_docs_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs/tokens.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    write_tiny_scenes(tmp_path / "datasets")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    cfg = load_cfg("configs/vtfpn_R18_scenes.yaml", ["MODEL.DEVICE", "cpu"])
    Path(cfg.OUTPUT_DIR).mkdir(parents=True)
    torch.manual_seed(0)
    SegmentationCheckpointer(build_model(cfg), cfg.OUTPUT_DIR).save(
        "model_final", trainer={"iteration": 0}
    )

    names = {}
    vt_seg.register_all_datasets(str(tmp_path / "datasets"))
    try:
        exec(code, names)
    finally:
        vt_seg.register_all_datasets()
        (tmp_path / cfg.OUTPUT_DIR / "model_final.pth").unlink()
    # Eight tokens in each of four scenes; a peak is between uniform and all on one of 16 x 16.
    peaks = torch.stack(names["peaks"])
    assert peaks.shape == (4, 8)
    assert 1 < peaks.min() <= peaks.max() <= 256
    assert peaks.std(0).min() > 0
