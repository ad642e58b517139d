"""Videos and webcams as frames, by OpenCV."""

import glob
import os
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from vt_seg.files import require_regular_file

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


def is_video(path: Any) -> bool:
    """Return True if a path has the extension of a video."""
    is_path = isinstance(path, str | os.PathLike)
    return is_path and os.path.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def matching_videos(path: str | os.PathLike) -> list[str]:
    """Return the videos of a pattern (``x/*.mp4``), or the path itself, which may have brackets."""
    path = os.fspath(path)
    return [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True)) or [path]


def video_frames(source: str | os.PathLike | int) -> Iterator[np.ndarray]:
    """Yield the frames ``(H, W, 3)``, uint8 and BGR, of a video file, or of a webcam by its number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no video that OpenCV reads, or there is no such webcam.
    """
    with _Capture(source) as capture:
        while True:
            is_there, frame = capture.read()
            if not is_there:
                return
            yield frame


class _Capture:
    """``cv2.VideoCapture`` that raises where nothing can be read, and is released at the end."""

    def __init__(self, source: str | os.PathLike | int) -> None:
        if not isinstance(source, int):
            source = os.fspath(source)
            require_regular_file(source)
            if not os.path.isfile(source):
                raise FileNotFoundError(f"there is no video {source}")
        # OpenCV crashes on negative numbers.
        is_negative = isinstance(source, int) and source < 0
        self._capture = cv2.VideoCapture() if is_negative else cv2.VideoCapture(source)
        if not self._capture.isOpened():
            what = (
                "is no webcam of this machine"
                if isinstance(source, int)
                else ("is no video that OpenCV reads: convert it to MP4")
            )
            raise ValueError(f"{source} {what}")

    def __enter__(self) -> Any:
        return self._capture

    def __exit__(self, *_: object) -> None:
        self._capture.release()


def frame_rate(source: str | os.PathLike | int) -> float:
    """Return frames per second of a video file or webcam, 25 if that is unknown.

    Webcams may report -1, and videos of a varying rate the ticks of their clock, as 90000.
    """
    with _Capture(source) as capture:
        rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0.1 <= rate <= 1000 else 25.0


def num_frames_stated(path: str | os.PathLike) -> int:
    """Return how many frames a video file says that it has, 0 or less if it does not."""
    with _Capture(path) as capture:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
