"""vt_scenes: the labels of context classes follow from their cues alone; files are complete."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.synthetic.scenes import (
    SceneSet,
    compose_scene,
    render_scene,
    scene_files,
    write_scenes,
)
from data_prep.synthetic.synthetic_set import FIRST_INDEX, OtherImagesError
from vt_seg.data import read_image, read_mask
from vt_seg.data.datasets import CONTEXT_CLASS_NAMES, SCENE_CLASS_NAMES, SCENE_CLASSES

SCRIPT = Path(__file__).parents[2] / "prepare_scenes.py"
SIDE = 96
PAIRS = {"field": ("wheat", "fallow"), "pond": ("lake", "ice")}
LABEL = {name: i for i, name in enumerate(SCENE_CLASS_NAMES)}


@pytest.fixture(scope="module")
def scenes():
    return [compose_scene(3, index, SIDE, SIDE) for index in range(240)]


def region(scene, pair):
    return np.isin(scene.mask, [LABEL[name] for name in PAIRS[pair]])


# The rendered scenes


def test_a_scene_depends_on_seed_and_index_only():
    image, mask = render_scene(7, 5, 64, 64)
    for index in (0, 9, 4):
        render_scene(7, index, 64, 64)
    np.random.seed(1)
    again = render_scene(7, 5, 64, 64)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])
    assert (render_scene(7, 6, 64, 64)[0] != image).mean() > 0.5
    assert (render_scene(8, 5, 64, 64)[0] != image).mean() > 0.5


@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (48, 64), (33, 47), (97, 131), (160, 96), (64, 256)]
)
def test_scenes_have_any_size(height, width):
    for index in range(20):
        image, mask = render_scene(0, index, height, width)
    assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert set(np.unique(mask)) <= {*range(len(SCENE_CLASSES)), 255}
    assert len(np.unique(mask)) >= 5


def test_scene_of_twice_the_size_has_the_same_labels():
    small, large = render_scene(0, 2, 96, 96)[1], render_scene(0, 2, 192, 192)[1][::2, ::2]
    both = (small != 255) & (large != 255)
    assert both.mean() > 0.75
    assert (small == large)[both].mean() > 0.97


def test_small_sides_and_negative_indices_are_refused():
    with pytest.raises(ValueError, match="at least 32 pixels, got 16x64"):
        render_scene(0, 1, 16, 64)
    with pytest.raises(ValueError, match="index -1"):
        render_scene(0, -1, 64, 64)


def test_only_borders_between_regions_are_ignored(scenes):
    for scene in scenes[:20]:
        mask = scene.mask
        for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert not ((a != b) & (a != 255) & (b != 255)).any()
    ignored = np.mean([(scene.mask == 255).mean() for scene in scenes])
    assert 0.05 < ignored < 0.22


def test_classes_are_balanced(scenes):
    counts = np.stack([np.bincount(s.mask.ravel(), minlength=256) for s in scenes])
    counts = counts[:, : len(SCENE_CLASSES)]
    share = counts.sum(0) / counts.sum()
    presence = (counts > 0).mean(0)
    for i, name in enumerate(SCENE_CLASS_NAMES):
        assert share[i] >= (0.012 if name in ("car", "ball") else 0.02), (name, share[i])
        assert presence[i] >= (0.35 if name in CONTEXT_CLASS_NAMES else 0.6), (name, presence[i])
    assert share.max() < 0.4


# Context classes


def test_cues_are_far_from_their_regions(scenes):
    for pair in PAIRS:
        nearest = []
        for scene in scenes:
            where = region(scene, pair)
            assert scene.cues[pair].sum() >= 0.008 * SIDE * SIDE  # The cue is visible at this size.
            if where.any():
                away = cv2.distanceTransform((~scene.cues[pair]).astype(np.uint8), cv2.DIST_L2, 5)
                nearest.append(away[where].min() / SIDE)
        assert min(nearest) >= 0.4, pair


def test_one_scene_has_one_label_of_each_pair(scenes):
    seen = {name: 0 for name in CONTEXT_CLASS_NAMES}
    for scene in scenes:
        present = {name for name in CONTEXT_CLASS_NAMES if (scene.mask == LABEL[name]).any()}
        assert present <= set(scene.truth.values())
        for name in present:
            seen[name] += 1
    assert min(seen.values()) >= 0.35 * len(scenes)
    # The choices are independent: each of the four outcomes is in a quarter of the scenes.
    outcomes = [tuple(scene.truth.values()) for scene in scenes]
    assert min(outcomes.count(o) for o in set(outcomes)) >= 0.15 * len(scenes)
    assert len(set(outcomes)) == 4


@pytest.mark.parametrize("index", range(12))
def test_other_labels_change_the_image_only_around_the_cues(index):
    size = 128
    first_scene = compose_scene(0, index, size, size)
    other_truth = {
        pair: next(name for name in names if name != first_scene.truth[pair])
        for pair, names in PAIRS.items()
    }
    other = compose_scene(0, index, size, size, truth=other_truth)
    differs = (first_scene.image != other.image).any(2)
    assert all(differs[cue].mean() > 0.5 for cue in first_scene.cues.values())
    assert not differs[int(0.3 * size) :].any()
    # JPEG changes blocks of up to 16 pixels.
    around = cv2.dilate(
        np.any(list(first_scene.cues.values()), 0).astype(np.uint8), np.ones((37, 37))
    )
    assert not (differs & (around == 0)).any()
    for pair, (first, second) in PAIRS.items():
        np.testing.assert_array_equal(region(first_scene, pair), region(other, pair))
        swap = {LABEL[first]: LABEL[second], LABEL[second]: LABEL[first]}
        where = region(first_scene, pair)
        assert all(
            swap[a] == b for a, b in zip(first_scene.mask[where], other.mask[where], strict=True)
        )


def local_features(scene, where):
    """Return a region's colour, contrast, texture, position and shape, and the ground's light."""
    pixels = scene.image[where].astype(float)
    grey = cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY).astype(float)
    ys, xs = np.nonzero(where)
    return np.concatenate([
        pixels.mean(0), pixels.std(0), np.percentile(pixels, [10, 90], 0).ravel(),
        [cv2.Laplacian(grey, cv2.CV_64F)[where].std(), where.sum()],
        [ys.mean(), ys.std(), xs.mean(), xs.std()],
        scene.image[SIDE // 2 :].reshape(-1, 3).mean(0),
    ])  # fmt: skip


def linear_accuracy(features, labels):
    """Return the accuracy of a ridge regression on the second half, trained on the first."""
    features = np.asarray(features)
    labels = np.where(labels, 1.0, -1.0)
    half = len(labels) // 2
    features = (features - features[:half].mean(0)) / (features[:half].std(0) + 1e-9)
    features = np.c_[features, np.ones(len(labels))]
    train = features[:half]
    weights = np.linalg.solve(train.T @ train + np.eye(train.shape[1]), train.T @ labels[:half])
    return float(((features[half:] @ weights > 0) == (labels[half:] > 0)).mean())


def test_local_features_do_not_reveal_context_classes(scenes):
    usable = [(s, p, region(s, p)) for s in scenes for p in PAIRS if region(s, p).sum() > 60]
    features = {pair: [local_features(s, w) for s, p, w in usable if p == pair] for pair in PAIRS}
    for pair, (first, _) in PAIRS.items():
        labels = [s.truth[pair] == first for s, p, _ in usable if p == pair]
        # 50 % +- 3 standard deviations of some 110 random labels.
        assert 0.35 < linear_accuracy(features[pair], labels) < 0.65
    # The same classifier distinguishes fields from ponds.
    both = [f for pair in zip(features["field"], features["pond"], strict=False) for f in pair]
    assert linear_accuracy(both, [i % 2 == 0 for i in range(len(both))]) > 0.95


# The written files


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_files_do_not_depend_on_the_number_of_workers(tmp_path):
    wanted = SceneSet(train=5, val=2, height=48, width=64, seed=4)
    assert write_scenes(tmp_path / "one", wanted) == 7
    assert write_scenes(tmp_path / "two", wanted, workers=2) == 7
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for split, index in (("train", 5), ("val", FIRST_INDEX["val"] + 1)):
        image, mask = render_scene(4, index, 48, 64)
        image_file, mask_file = scene_files(tmp_path / "one", split, index)
        np.testing.assert_array_equal(read_mask(mask_file), mask)
        code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        assert image_file.read_bytes() == code.tobytes()
        assert read_image(image_file).shape == image.shape


def test_existing_files_are_kept_and_more_scenes_are_added(tmp_path):
    wanted = SceneSet(train=3, val=1, height=32, width=32)
    write_scenes(tmp_path, wanted)
    before = contents(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.*g")}
    assert write_scenes(tmp_path, wanted) == 0
    assert write_scenes(tmp_path, SceneSet(train=5, val=1, height=32, width=32)) == 2
    assert {p: p.stat().st_mtime_ns for p in times} == times
    after = contents(tmp_path)
    assert {k: after[k] for k in before if k != "scenes.json"} == {
        k: v for k, v in before.items() if k != "scenes.json"
    }
    assert json.loads((tmp_path / "scenes.json").read_text())["train"] == 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, "seed 0, requested 1"),
        ({"height": 64}, "height 32, requested 64"),
        ({"train": 1}, "2 train scenes, requested 1"),
        ({"painter_version": 99}, "painter_version"),
    ],
)
def test_other_scenes_are_never_mixed(tmp_path, change, says):
    base = {"train": 2, "val": 1, "height": 32, "width": 32}
    write_scenes(tmp_path, SceneSet(**base))
    before = contents(tmp_path)
    with pytest.raises(OtherImagesError, match=f"{says}.*another --root.*nothing was changed"):
        write_scenes(tmp_path, SceneSet(**{**base, **change}))
    assert contents(tmp_path) == before


def test_a_folder_of_unknown_files_is_left_alone(tmp_path):
    foreign = tmp_path / "images" / "train" / "000000000001.jpg"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    with pytest.raises(OtherImagesError, match=r"no scenes.json"):
        write_scenes(tmp_path, SceneSet(train=1, val=1, height=32, width=32))
    assert foreign.read_bytes() == b"mine"


def test_killed_and_repeated_run_is_like_an_undisturbed_one(tmp_path):
    options = ["--train", "150", "--val", "10", "--size", "48x32", "--seed", "2", "--workers", "1"]
    command = [sys.executable, str(SCRIPT), "--root", str(tmp_path / "killed"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    folder = tmp_path / "killed" / "vt_scenes"
    deadline = time.monotonic() + 60
    while len(list((folder / "images" / "train").glob("0*.jpg"))) < 20:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    visible = sorted((folder / "images" / "train").glob("0*.jpg"))
    assert 20 <= len(visible) < 150
    for path in visible:  # Each file that has its name is complete.
        assert read_image(path).shape == (48, 32, 3)

    wanted = SceneSet(train=150, val=10, height=48, width=32, seed=2)
    assert write_scenes(folder, wanted) == 160 - len(visible)
    write_scenes(tmp_path / "undisturbed", wanted, workers=2)
    assert not [name for name in contents(folder) if name.endswith(".unfinished")]
    assert contents(folder) == contents(tmp_path / "undisturbed")

    refused = subprocess.run(
        [*command, "--seed", "5"], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "error:" in refused.stderr
    assert "seed 2, requested 5" in refused.stderr
