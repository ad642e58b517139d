"""What `vt-seg predict` writes, and what it says of images that it cannot read."""

import importlib
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from vt_seg.cli.predict import main
from vt_seg.data import read_mask
from vt_seg.drawing import color_sem_seg
from vt_seg.engine import evaluate, load_cfg
from vt_seg.evaluation import build_evaluator
from vt_seg.prediction import predict_video, video_frames
from vt_seg.prediction.video_frames import frame_rate

from .conftest import CONFIG

# The package has functions of the same names as its modules.
predict_video_module = importlib.import_module("vt_seg.prediction.predict_video")
KINDS = "overlay,labels,color,probability,confidence"


def test_ten_broken_files_of_two_hundred_are_named_and_the_rest_is_predicted(
    run, image, tmp_path, capsys
):
    images, out = tmp_path / "images", tmp_path / "out"
    folders = (images, images / "b", images / "b/c")
    files = [folders[i % 3] / f"{i // 2}.{('jpg', 'png')[i % 2]}" for i in range(200)]
    broken = files[7::20]
    for folder in folders:
        folder.mkdir()
    for number, file in enumerate(files):
        Image.fromarray(np.roll(image[:16, :24], number, 1)).save(file)
    for file in broken:
        file.write_bytes(file.read_bytes()[:60])
    arguments = ["--model", run, "--input", str(images), "--recursive", "--save", "labels"]
    arguments += ["--output", str(out), "--batch-size", "8"]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert str(end.value).startswith("error: 10 of 200 not drawn:")
    assert [str(file) in str(end.value) for file in broken] == [True] * 10
    assert f"190 files in {out}" in capsys.readouterr().out
    written = sorted(out.rglob("*.png"))
    assert len(written) == 190
    # 0.jpg is in the folder itself, 0.png in b: both keep their names.
    assert (out / "0_labels.png").is_file()
    assert (out / "b/0_labels.png").is_file()

    # A second run with one image of each name in one folder overwrites nothing.
    before = {file: file.read_bytes() for file in written}
    Image.fromarray(image).save(images / "0.png")
    main(["--model", run, "--input", f"{images}/0.*", "--save", "labels", "--output", str(out)])
    assert {file: file.read_bytes() for file in written} == before
    assert {"0_2_labels.png", "0_3_labels.png"} <= set(os.listdir(out))


def test_labels_read_back_have_the_mean_iou_of_the_evaluation(
    run, overrides, scenes_root, tmp_path
):
    cfg = load_cfg(CONFIG, [*overrides, "MODEL.WEIGHTS", f"{run}/model_final.pth"])
    expected = evaluate(cfg)["sem_seg"]
    (name,) = cfg.DATASETS.TEST
    records = DatasetCatalog.get(name)
    folder = os.path.dirname(records[0]["file_name"])
    main(["--model", run, "--input", folder, "--save", "labels", "--output", str(tmp_path)])
    evaluator = build_evaluator(cfg, name)
    evaluator.reset()
    for record in records:
        labels = read_mask(tmp_path / f"{Path(record['file_name']).stem}_labels.png")
        evaluator.process([record], [{"sem_seg": torch.from_numpy(labels)}])
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == expected["mIoU"] > 0


def test_every_kind_of_file_holds_the_prediction(run, predictor, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.png")
    path, folder = str(tmp_path / "a.png"), str(tmp_path)
    main(["--model", run, "--input", path, "--save", KINDS, "--output", folder])
    (expected,) = predictor.stream(image, ("probabilities", "confidence"))
    colors = np.array(MetadataCatalog.get("vt_scenes_val").stuff_colors, np.uint8)
    labels = Image.open(tmp_path / "a_labels.png")
    assert labels.mode == "P"
    assert np.array_equal(np.array(labels), expected.labels)
    assert np.array_equal(np.array(labels.convert("RGB")), colors[expected.labels])
    assert np.array_equal(np.array(Image.open(tmp_path / "a_color.png")), colors[expected.labels])
    confidence = cv2.imread(str(tmp_path / "a_confidence.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(confidence / 65535, expected.confidence, atol=1e-5)
    with np.load(tmp_path / "a_probability.npz") as archive:
        np.testing.assert_allclose(archive["probabilities"], expected.probabilities, atol=1e-3)
        assert archive["classes"][0] == predictor.metadata.stuff_classes[0]
    assert cv2.imread(str(tmp_path / "a_prediction.jpg")).shape == (480, 700, 3)


def test_video_gives_a_video_and_label_maps_of_its_frames(run, predictor, image, tmp_path, capsys):
    clip = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(clip, cv2.VideoWriter.fourcc(*"MJPG"), 10, (70, 48))
    for shift in range(5):
        writer.write(np.roll(image, 10 * shift, axis=1))
    writer.release()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    arguments = ["--model", run, "--input", clip, str(broken), "--save", "color,labels,overlay"]
    with pytest.raises(
        SystemExit, match=r"1 of 2 not drawn:\n.*broken.mp4 is no video that OpenCV"
    ):
        main([*arguments, "--frames", "3", "--output", str(tmp_path / "out")])
    assert "5 files in" in capsys.readouterr().out
    colors = cv2.VideoCapture(str(tmp_path / "out/clip_color.mp4"))
    assert (colors.get(cv2.CAP_PROP_FRAME_COUNT), colors.get(cv2.CAP_PROP_FPS)) == (3, 10)
    predicted = predictor(clip)
    _, overlay = cv2.VideoCapture(str(tmp_path / "out/clip_prediction.mp4")).read()
    expected = color_sem_seg(image[:, :, ::-1], predicted[0], predictor.metadata)  # in RGB
    assert np.abs(overlay[:, :, ::-1].astype(int) - expected).mean() < 12  # compressed
    frames = sorted(os.listdir(tmp_path / "out/clip_frames"))
    assert frames == [f"00000{number}_labels.png" for number in range(3)]
    labels = read_mask(tmp_path / "out/clip_frames" / frames[1])
    assert np.array_equal(labels, predicted[1])
    assert sorted(os.listdir(tmp_path / "out")) == [
        *("clip_color.mp4", "clip_frames", "clip_prediction.mp4")
    ]


@pytest.fixture
def clip(tmp_path):
    """A video of five frames, 70 x 48."""
    path = str(tmp_path / "clip.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), 10, (70, 48))
    for value in range(5):
        writer.write(np.full((48, 70, 3), 40 * value, np.uint8))
    writer.release()
    return path


def test_video_that_ends_early_is_predicted_and_named(predictor, clip, tmp_path, monkeypatch):
    frames = list(video_frames(clip))
    monkeypatch.setattr(predict_video_module, "video_frames", lambda _: frames[:3])
    drawn = predict_video(predictor, clip, str(tmp_path / "out"), ["color"])
    assert drawn.written == [str(tmp_path / "out/clip_color.mp4")]
    assert f"{clip}: only 3 of 5 frames can be read" in drawn.failures[0]
    assert predict_video(predictor, clip, str(tmp_path), ["color"], num_frames=2).failures == []


def test_video_on_a_full_disk_gets_no_name(predictor, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(
        predict_video_module,
        "_writer",
        lambda path, *_: cv2.VideoWriter() if path.write_bytes(b"half") else None,
    )
    with pytest.raises(OSError, match=r"clip_color.mp4 cannot be written whole: make room"):
        predict_video(predictor, clip, str(tmp_path / "out"), ["color"])
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("stated", [-1.0, 0.0, float("nan"), 90000.0])
def test_frame_rates_that_are_none_become_25(clip, stated, monkeypatch):
    assert frame_rate(clip) == 10
    capture = SimpleNamespace(isOpened=lambda: True, get=lambda _: stated, release=list)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: capture)
    assert frame_rate(clip) == 25


def test_predictions_of_an_earlier_run_are_no_inputs(run, image, tmp_path, capsys):
    Image.fromarray(image).save(tmp_path / "a.png")
    arguments = ["--model", run, "--recursive", "--save", "color", "--output", f"{tmp_path}/out"]
    for _ in range(2):
        main([*arguments, "--input", str(tmp_path)])
    assert sorted(os.listdir(tmp_path / "out")) == ["a_2_color.png", "a_color.png"]
    assert f"skipped: {tmp_path}/out: 1 images" in capsys.readouterr().err
    main([*arguments, "--input", f"{tmp_path}/out/a_color.png", "--input", f"{tmp_path}/a.png"])
    assert {"a_3_color.png", "a_color_color.png"} <= set(os.listdir(tmp_path / "out"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_whole_files_alone(run, image, tmp_path, monkeypatch, number, code):
    Image.fromarray(image).save(tmp_path / "a.png")
    # A process that a shell started in the background ignores SIGINT.
    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, handler)
    monkeypatch.setattr("os.fsync", lambda _: signal.raise_signal(number))  # a file is half done
    try:
        with pytest.raises(SystemExit) as end:
            main(["--model", run, "--input", f"{tmp_path}/a.png", "--output", f"{tmp_path}/out"])
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert end.value.code == code
    assert os.listdir(tmp_path / "out") == []


def test_dataset_of_no_name_is_refused(run):
    with pytest.raises(SystemExit, match=r"^error: .*no dataset is registered as"):
        main(["--model", run, "--dataset", ""])
