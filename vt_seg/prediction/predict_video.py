"""Predictions of a video as a video, and as files of its frames."""

import os
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from vt_seg.drawing import color_sem_seg
from vt_seg.files import name_if_free, output_names
from vt_seg.visualization import Drawn, write_new

from .prediction_files import SAVED, outputs_for, prediction_files
from .predictor import Predictor
from .video_frames import frame_rate, num_frames_stated, video_frames

# What becomes a video. Others must not be changed by its compression.
_VIDEOS = {"overlay": "_prediction.mp4", "color": "_color.mp4"}
# What containers state is an estimate in some formats: so many of the frames must be there.
_MIN_READ = 0.95


def predict_video(
    predictor: Predictor,
    source: str | os.PathLike | int,
    output_dir: str,
    saved: Sequence[str] = ("overlay",),
    *,
    num_frames: int | None = None,
) -> Drawn:
    """Write predictions of a video or a webcam.

    Overlays and colours become ``<name>_prediction.mp4`` and ``<name>_color.mp4``, with the frame
    rate of the source, without sound and names of classes; the others files per frame in the folder
    ``<name>_frames``.
    Nothing is overwritten. Ctrl-C, which is how a webcam is ended, closes the videos. A source that
    ends before the frames that it states is among the failures, and its frames are predicted.

    Args:
        predictor: of a segmentation model.
        source: a video file, or a webcam's number.
        output_dir: is made if there is none.
        saved: keys of :data:`SAVED`.
        num_frames: None for all.

    Raises:
        OSError: if nothing can be written, or the video has no frames.
        ValueError: as :func:`video_frames`.
    """
    rate = frame_rate(source)
    os.makedirs(output_dir, exist_ok=True)
    name = f"webcam{source}" if isinstance(source, int) else os.fspath(source)
    (name,) = output_names([name], output_dir, [*_VIDEOS.values(), "_frames"])
    frames = islice(video_frames(source), num_frames)
    drawn = Drawn([], [], [], [])
    number, is_complete = -1, num_frames is None
    with tempfile.TemporaryDirectory(prefix=".", dir=output_dir) as unfinished:
        writers: dict[str, Any] = {}
        predictions = predictor.stream(frames, outputs_for(saved), channel_order="BGR")
        try:
            for number, prediction in enumerate(tqdm(predictions, "predict", unit="frame")):
                # `draw_sem_seg`, which writes names, takes several times as long as the model.
                files = prediction_files(
                    prediction, saved, predictor.metadata, predictor.images, color_sem_seg
                )
                for what, content in zip(saved, files.values(), strict=True):
                    if isinstance(content, np.ndarray):
                        ending = _VIDEOS[what]
                        if ending not in writers:
                            writers[ending] = _writer(Path(unfinished) / ending, rate, content)
                        writers[ending].write(np.ascontiguousarray(content[:, :, ::-1]))
                    else:
                        folder = os.path.join(output_dir, f"{name}_frames")
                        os.makedirs(folder, exist_ok=True)
                        path = os.path.join(folder, f"{number:06d}{SAVED[what]}")
                        drawn.written.append(write_new(content, path))
        except KeyboardInterrupt:
            is_complete = False
            print("ended by Ctrl-C: the frames until here are written")
        for ending, writer in writers.items():
            writer.release()
            video = Path(output_dir) / f"{name}{ending}"
            _require_frames(Path(unfinished) / ending, number, video)
            name_if_free(Path(unfinished) / ending, video)
            drawn.written.append(str(video))
    if not drawn.written:
        raise OSError(f"{source} has no frame that OpenCV reads")
    if is_complete and not isinstance(source, int):
        stated = num_frames_stated(source)
        if number + 1 < _MIN_READ * stated:
            drawn.failures.append(
                f"{source}: only {number + 1} of {stated} frames can be read, and these are "
                "predicted: it is truncated or damaged, copy it again"
            )
    return drawn


def _writer(path: Path, rate: float, frame: np.ndarray) -> Any:
    size = (frame.shape[1], frame.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write videos of {size[0]}x{size[1]}: save labels instead")
    return writer


def _require_frames(path: Path, num_frames: int, video: Path) -> None:
    """Raise OSError unless a finished file has so many frames: OpenCV ignores a full disk."""
    try:
        stated = num_frames_stated(path)
    except ValueError:
        stated = 0
    if stated < num_frames:
        raise OSError(f"{video} cannot be written whole: make room on its disk")
