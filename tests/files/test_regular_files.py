"""A named pipe or a device in the place of a file is refused at once: opening one could block."""

import contextlib
import os
import signal
import socket

import h5py
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from data_prep.conversion import check, convert, lip_conversions, manifest_path, read_segments
from data_prep.synthetic.shapes import ShapeSet, write_shapes
from data_prep.tests.test_conversion_runs import conversion_of
from tests.data import dataset_variants as variants
from tests.data.image_files import write_png
from tools.demo import main as demo
from tools.demo import parse_args as demo_args
from vt_seg.data import read_image, read_mask, register_sem_seg
from vt_seg.data.class_histogram import class_histogram
from vt_seg.data.datasets.lip import canonical_list, load_lip
from vt_seg.data.datasets.registration import unregister
from vt_seg.data.mat_files import read_mat_annotation
from vt_seg.data.name_lists import read_class_names, read_split_list
from vt_seg.data.validation.pair_inspection import inspect_pair
from vt_seg.data.validation.variants import mat_variant
from vt_seg.engine import load_cfg
from vt_seg.files.regular_files import require_regular_file
from vt_seg.visualization import find_images


@pytest.fixture(autouse=True)
def _no_test_hangs():
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
    "MATLAB file": read_mat_annotation,
    "panoptic JSON": lambda path: read_segments(path, {}),
    "demo's input": lambda path: find_images([str(path)]),
    "config": lambda path: load_cfg(str(path)),
    "histogram's cache": lambda path: class_histogram([], 2, 255, str(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("make", "kind"), [(pipe, "a named pipe"), (link_to_zeros, "a device")])
def test_every_reader_refuses_pipes_and_devices(tmp_path, reader, make, kind):
    path = make(tmp_path / "x.png")
    with pytest.raises(
        ValueError, match=rf"{path} is {kind}; only regular files can be read: pass a file"
    ):
        READERS[reader](path)


@pytest.mark.parametrize("listed", [False, True])
def test_a_config_inherits_from_regular_files_alone(tmp_path, listed):
    pipe(tmp_path / "deep/pipe.yaml")
    (tmp_path / "middle.yaml").write_text("_BASE_: deep/pipe.yaml\n")
    base = '["middle.yaml"]' if listed else '"middle.yaml"'
    (tmp_path / "top.yaml").write_text(f"_BASE_: {base}\nVERSION: 2\n")
    with pytest.raises(ValueError, match=r"deep/pipe\.yaml is a named pipe"):
        load_cfg(str(tmp_path / "top.yaml"))


@pytest.mark.parametrize("reader", ["image", "mask", "split list", "MATLAB file"])
def test_a_device_named_directly_is_refused(reader):
    with pytest.raises(ValueError, match="/dev/zero is a device"):
        READERS[reader]("/dev/zero")


def test_links_to_files_and_missing_files_pass(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "not there")
    for name in ("file", "link", "dangling", "not there"):
        require_regular_file(tmp_path / name)
    require_regular_file(f"file://{tmp_path}/file")
    require_regular_file("https://example.org/a.png")


def test_folders_and_sockets_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is a folder; only regular files can be read"):
        require_regular_file(tmp_path)
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


def test_a_conversion_with_a_pipe_as_mask_converts_the_others(tmp_path):
    variants.write_stuffthingmaps(tmp_path)
    folder = tmp_path / "coco/stuffthingmaps/train2017"
    first = sorted(folder.iterdir())[0]
    pipe(first)
    outcome = convert(conversion_of(tmp_path))
    assert outcome.done == len(list(folder.iterdir())) - 1
    assert len(outcome.errors) == 1 and f"{first} is a named pipe" in outcome.errors[0]


def test_manifests_and_lists_of_a_conversion_are_regular_files(tmp_path):
    variants.write_lip(tmp_path)
    (conversion,) = lip_conversions(tmp_path, ["train"])
    assert convert(conversion).errors == []
    (written,) = conversion.lists
    pipe(written)
    with pytest.raises(ValueError, match=r"train\.txt is a named pipe"):
        check(conversion)
    pipe(manifest_path(conversion.output))
    with pytest.raises(ValueError, match="is a named pipe"):
        convert(conversion)


def test_manifest_of_painted_images_is_a_regular_file(tmp_path):
    pipe(tmp_path / "shapes.json")
    with pytest.raises(ValueError, match="is a named pipe"):
        write_shapes(tmp_path, ShapeSet(train=1, val=1))


@pytest.mark.parametrize(
    "kind", ["external link", "link to a link", "external storage", "virtual data set"]
)
def test_annotations_are_read_from_their_own_file_alone(tmp_path, kind):
    """HDF5 has three ways to refer to another file; opening a pipe would block."""
    other = pipe(tmp_path / "other")
    path = tmp_path / "a.mat"
    variants.write_mat_v73(path, np.ones((4, 5), np.uint8), variants.names_v10())
    with h5py.File(path, "r+") as file:
        del file["S"]
        if kind == "external link":
            file["S"] = h5py.ExternalLink(str(other), "S")
        elif kind == "link to a link":
            file["other"] = h5py.ExternalLink(str(other), "S")
            file["S"] = h5py.SoftLink("/other")
        elif kind == "external storage":
            file.create_dataset("S", (5, 4), "u1", external=[(str(other), 0, 20)])
        else:
            layout = h5py.VirtualLayout((5, 4), "u1")
            layout[:] = h5py.VirtualSource(str(other), "S", (5, 4))
            file.create_virtual_dataset("S", layout)
    with pytest.raises(ValueError, match=r"a\.mat keeps its data in another file"):
        read_mat_annotation(path)


def test_validation_lists_pipes_among_the_findings(tmp_path):
    image, mask = pipe(tmp_path / "a.jpg"), pipe(tmp_path / "a.png")
    report = inspect_pair({"file_name": str(image), "sem_seg_file_name": str(mask)})
    assert [f.message.split(";")[0] for f in report.findings] == [
        f"{image} is a named pipe",
        f"{mask} is a named pipe",
    ]
    assert mat_variant(pipe(tmp_path / "mats/a.mat").parent) is None


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


def test_demo_refuses_a_pipe_before_it_draws_anything(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    pipe(tmp_path / "b.png")
    weights = tmp_path / "run/model_final.pth"
    weights.parent.mkdir()
    torch.save({"model": {"weight": torch.ones(1)}, "trainer": {"iteration": 0}}, weights)
    arguments = [
        "--config-file",
        "configs/fpn_R18_scenes.yaml",
        "--input",
        f"{tmp_path}/a.png",
        f"{tmp_path}/b.png",
    ]
    output = tmp_path / "out"
    options = ["--output", str(output), "--opts", "OUTPUT_DIR", str(weights.parent)]
    with pytest.raises(ValueError, match=r"b\.png is a named pipe"):
        demo(demo_args([*arguments, *options]))
    assert not output.exists()
