"""Each correction of layers does what its row of the table in docs/padding.md says."""

import pytest
import torch
from detectron2.modeling import build_model

import vt_seg
from research.batch_mates import SOURCES, changes, main, parse_args
from tests.modeling.conftest import wake
from tests.small_configs import small_cfg
from tests.tiny_datasets import write_tiny_scenes
from vt_seg.engine import SegmentationCheckpointer, load_cfg


@pytest.mark.parametrize(("size", "mate"), [((64, 96), (96, 128)), ((61, 83), (97, 85))])
def test_batch_mate_changes_nothing_with_all_layers_corrected(size, mate):
    torch.manual_seed(0)
    cfg = small_cfg()
    cfg.MODEL.META_ARCHITECTURE = "PaddingAwareSegmentor"
    model = wake(build_model(cfg)).double().eval()
    images = [torch.randn(1, 3, *size, dtype=torch.float64)]
    everything = set(SOURCES)
    with torch.no_grad():
        assert changes(model, images, mate, everything) == pytest.approx((0, 0), abs=1e-12)
        for source in SOURCES:
            _, logits = changes(model, images, mate, everything - {source})
            assert logits > 1e-4, source
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_table_has_a_row_for_each_kind_of_layer(tmp_path, capsys):
    write_tiny_scenes(tmp_path / "datasets")
    options = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "out")]
    config = "configs/vtfpn_R18_scenes.yaml"
    torch.manual_seed(0)
    model = wake(build_model(load_cfg(config, options)))
    (tmp_path / "out").mkdir()
    SegmentationCheckpointer(model, str(tmp_path / "out")).save(
        "model_final", trainer={"iteration": 0}
    )
    vt_seg.register_all_datasets(str(tmp_path / "datasets"))
    try:
        arguments = ["--config-file", config, "--num", "1", "--mate", "192x160"]
        changed = main(parse_args([*arguments, "--opts", *options]))
    finally:
        vt_seg.register_all_datasets()
    assert len(changed) == len(SOURCES) + 3
    labels, logits = changed["all corrected"]
    assert labels == 0
    assert logits < 1e-4
    printed = capsys.readouterr().out
    assert "in a batch with one of 192x160" in printed
    assert all(f"| {name} " in printed for name in changed)
