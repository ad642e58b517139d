"""Nothing is written outside an output folder, whatever lists, JSON files and archives say."""

import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from tests.data.image_files import write_png
from vt_seg.data import register_sem_seg, unregister
from vt_seg.evaluation import SegmentationEvaluator
from vt_seg.files import check_names_below, one_at_a_time, path_below, write_atomically
from vt_seg.visualization import Sample, View, draw_dataset, draw_samples

METADATA = {
    "stuff_classes": ["a", "b"],
    "stuff_colors": [(255, 0, 0), (0, 255, 0)],
    "ignore_label": 255,
}


POSIX = ["../x.png", "a/../../x.png", "a/../x.png", "/tmp/x.png", "..", "", ".", "a\0.png"]
WINDOWS = ["..\\x.png", "C:\\x.png", "C:x.png", "\\\\host\\share\\x.png"]


@pytest.mark.parametrize("name", [*POSIX, *WINDOWS])
def test_names_that_could_lead_out_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^list\.txt names .*Nothing was written$"):
        check_names_below(tmp_path, ["fine.png", name], "list.txt")


@pytest.mark.parametrize("name", ["x.png", "a/b/x.png", "a..b/..x.png", ".hidden", "a b/ü.png"])
def test_names_below_the_folder_are_taken(tmp_path, name):
    assert path_below(tmp_path / "not yet", name, "list.txt") == f"{tmp_path}/not yet/{name}"


def test_folder_may_be_a_link_but_none_below_it_leads_out(tmp_path):
    (tmp_path / "disk/inside").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    output = tmp_path / "output"
    output.symlink_to(tmp_path / "disk")
    (output / "to_inside").symlink_to(tmp_path / "disk/inside")
    (output / "out").symlink_to(tmp_path / "elsewhere")
    (output / "dangling").symlink_to(tmp_path / "not there")
    check_names_below(output, ["x.png", "to_inside/x.png"], "list")
    for name in ("out/x.png", "out/deeper/x.png", "dangling/x.png"):
        with pytest.raises(ValueError, match=r"by a symbolic link, to .*(elsewhere|not there)"):
            check_names_below(output, [name], "list")


def test_writing_replaces_links_and_does_not_follow_them(tmp_path):
    precious, target = tmp_path / "precious.txt", tmp_path / "mask.png"
    precious.write_text("precious")
    target.symlink_to(precious)
    (tmp_path / f".mask.png.{os.getpid()}.unfinished").symlink_to(precious)
    write_atomically(target, b"mask")
    assert (precious.read_text(), target.read_bytes()) == ("precious", b"mask")
    assert not target.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "precious.txt"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "x", "text in place of bytes")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_lock_that_is_a_link_is_refused_and_its_target_kept(tmp_path):
    lock, precious = tmp_path / ".lock", tmp_path / "precious.txt"
    precious.write_text("precious")
    lock.symlink_to(precious)
    with pytest.raises(ValueError, match="should be a lock file"), one_at_a_time(lock):
        pass
    assert precious.read_text() == "precious"


def test_pictures_and_results_of_records_stay_in_their_folder(tmp_path):
    """Records are a user's, or made from a list: their names climb here, their files exist."""
    (tmp_path / "in/deep").mkdir(parents=True)
    write_png(tmp_path / "in/a.png", np.zeros((40, 50, 3), np.uint8))
    write_png(tmp_path / "in/a_mask.png", np.zeros((40, 50), np.uint8))
    climbing = f"{tmp_path}/in/deep/../a"
    files = {"file_name": f"{climbing}.png", "sem_seg_file_name": f"{climbing}_mask.png"}
    records = [{**files, "image_id": "../../a"}]
    name, out = f"climbing_{tmp_path.name}", str(tmp_path / "out")
    DatasetCatalog.register(name, lambda: records)
    MetadataCatalog.get(name).set(**METADATA)
    try:
        draw_dataset(name, 1, lambda x: np.zeros(x.shape[:2], int), out)
        evaluator = SegmentationEvaluator(name, output_dir=out)
        evaluator.reset()
        evaluator.process(records, [{"sem_seg": torch.zeros(40, 50, dtype=torch.int64)}])
        evaluator.evaluate()
    finally:
        unregister(name)
    view = View("seen", np.zeros((40, 50, 3), np.uint8), np.zeros((40, 50), int))
    draw_samples([Sample("../../b.png", lambda: (view,))], Metadata(**METADATA), out)
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert {path.parent.name for path in written} == {"in", "out"}
    assert sorted(os.listdir(tmp_path / "in")) == ["a.png", "a_mask.png", "deep"]
    assert set(os.listdir(out)) >= {"a_comparison.jpg", "b_data.jpg", "sem_seg_per_class.csv"}


@pytest.mark.parametrize("absolute", [False, True])
def test_split_list_of_a_custom_dataset_reads_only_its_folders(tmp_path, absolute):
    for stem in ("images/a", "b", "masks/a", "b_mask"):
        write_png(tmp_path / "data" / f"{stem}.png", np.zeros((4, 5), np.uint8))
    name = f"split_{tmp_path.name}"
    outside = f"{tmp_path}/data/b" if absolute else "../b"
    folders = (tmp_path / "data/images", tmp_path / "data/masks")
    try:
        register_sem_seg(name, *folders, ["x", "y"], split_list=["a", outside])
        with pytest.raises(FileNotFoundError, match=f"{outside}; names are relative to that fold"):
            DatasetCatalog.get(name)
    finally:
        unregister(name)
