"""Configs by name."""

from pathlib import Path

import pytest

import vt_seg

ROOT = Path(__file__).parents[1]


def test_names_are_those_of_the_files_without_bases():
    names = vt_seg.model_zoo.config_names()
    assert {"vtfpn_R50_cocostuff", "timm/fpn_convnext_tiny_cocostuff"} <= set(names)
    assert "base/model_fpn" not in names
    assert all((ROOT / "configs" / f"{name}.yaml").is_file() for name in names)


def test_config_by_name_with_overrides():
    cfg = vt_seg.model_zoo.get_config("vtfpn_R50_cocostuff", ["SOLVER.IMS_PER_BATCH", "8"])
    assert cfg.MODEL.SEM_SEG_HEAD.NAME == "VTFPNHead"
    assert cfg.SOLVER.IMS_PER_BATCH == 8
    assert vt_seg.model_zoo.get_config("vtfpn_R50_cocostuff.yaml").SOLVER.IMS_PER_BATCH == 32


def test_unknown_name_has_a_hint():
    with pytest.raises(ValueError, match=r"no config 'vtfpn_R50_coco'.*near: .*vtfpn_R50_coco"):
        vt_seg.model_zoo.get_config("vtfpn_R50_coco")


def test_configs_of_an_installation_are_found(tmp_path, monkeypatch):
    (tmp_path / "vt_seg/configs").mkdir(parents=True)
    (tmp_path / "vt_seg/configs/mine.yaml").write_text("SEED: 3\n")
    monkeypatch.setattr(vt_seg.model_zoo, "__file__", str(tmp_path / "vt_seg/model_zoo.py"))
    assert vt_seg.model_zoo.config_names() == ["mine"]
    assert vt_seg.model_zoo.get_config("mine").SEED == 3
