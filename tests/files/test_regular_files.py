"""A named pipe or a device in the place of a file is refused at once: opening one could block."""

import contextlib
import os
import signal
import socket

import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from data_prep.tests import dataset_variants as variants
from tests.data.image_files import write_png
from vt_seg.data import (
    read_class_names,
    read_image,
    read_mask,
    read_split_list,
    register_sem_seg,
    unregister,
)
from vt_seg.data.datasets import canonical_list, load_lip
from vt_seg.data_checks.mask_formats import mat_format
from vt_seg.data_checks.pair_check import check_pair
from vt_seg.engine import load_cfg
from vt_seg.engine.label_counts import read_counts
from vt_seg.files import require_regular_file
from vt_seg.visualization import find_images


@pytest.fixture(autouse=True)
def no_test_hangs():
    """Ends a test that blocks by an error, from within the call that blocks."""

    def stop(signum, frame):
        raise TimeoutError("blocked for 20 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 20)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.mkfifo(path)
    return path


def link_to_zeros(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")
    return path


READERS = {
    "image": read_image,
    "mask": read_mask,
    "split list": read_split_list,
    "class list": read_class_names,
    "demo's input": lambda path: find_images([str(path)]),
    "config": lambda path: load_cfg(str(path)),
    "label counts' cache": lambda path: read_counts(str(path), ""),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("make", "kind"), [(pipe, "a named pipe"), (link_to_zeros, "a device")])
def test_every_reader_refuses_pipes_and_devices(tmp_path, reader, make, kind):
    path = make(tmp_path / "x.png")
    says = rf"{path} is {kind}; only regular files can be read: pass a file"
    with pytest.raises(ValueError, match=says):
        READERS[reader](path)


@pytest.mark.parametrize("listed", [False, True])
def test_a_config_inherits_from_regular_files_alone(tmp_path, listed):
    pipe(tmp_path / "deep/pipe.yaml")
    (tmp_path / "middle.yaml").write_text("_BASE_: deep/pipe.yaml\n")
    base = '["middle.yaml"]' if listed else '"middle.yaml"'
    (tmp_path / "top.yaml").write_text(f"_BASE_: {base}\nVERSION: 2\n")
    with pytest.raises(ValueError, match=r"deep/pipe\.yaml is a named pipe"):
        load_cfg(str(tmp_path / "top.yaml"))


def test_links_to_files_and_missing_files_pass(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "not there")
    for name in ("file", "link", "dangling", "not there"):
        require_regular_file(tmp_path / name)
    require_regular_file(f"file://{tmp_path}/file")
    require_regular_file("https://example.org/a.png")


def test_folders_devices_and_sockets_are_named(tmp_path, monkeypatch):
    for path, kind in ((tmp_path, "a folder"), ("/dev/zero", "a device")):
        with pytest.raises(ValueError, match=f"is {kind}; only regular files can be read"):
            require_regular_file(path)
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(ValueError, match="is a socket; only regular files can be read"):
            require_regular_file("socket")


def test_lip_lists_are_regular_files(tmp_path):
    variants.write_lip(tmp_path)
    lip = tmp_path / "lip"
    canonical = pipe(type(lip)(canonical_list(lip, "train")))
    with pytest.raises(ValueError, match=r"train\.txt is a named pipe"):
        load_lip(str(lip), "train")
    canonical.unlink()
    pipe(lip / "train_id.txt")
    with pytest.raises(ValueError, match=r"train_id\.txt is a named pipe"):
        load_lip(str(lip), "train")


def test_validation_lists_pipes_among_the_findings(tmp_path):
    files = [str(pipe(tmp_path / name)) for name in ("a.jpg", "a.png")]
    report = check_pair({"file_name": files[0], "sem_seg_file_name": files[1]})
    said = [finding.message.split(";")[0] for finding in report.findings]
    assert said == [f"{file} is a named pipe" for file in files]
    assert mat_format(pipe(tmp_path / "mats/a.mat").parent) is None


def test_a_split_list_of_a_custom_dataset_is_a_regular_file(tmp_path):
    for folder in ("images", "masks"):
        write_png(tmp_path / folder / "a.png", np.zeros((4, 5), np.uint8))
    name = f"pipe_{tmp_path.name}"
    try:
        folders = (tmp_path / "images", tmp_path / "masks")
        register_sem_seg(name, *folders, ["x", "y"], split_list=pipe(tmp_path / "train.txt"))
        with pytest.raises(ValueError, match=r"train\.txt is a named pipe"):
            DatasetCatalog.get(name)
    finally:
        unregister(name)
