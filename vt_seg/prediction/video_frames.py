"""Videos and webcams as frames, by OpenCV."""

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
            require_regular_file(source)
            if not os.path.isfile(source):
                raise FileNotFoundError(f"there is no video {source}")
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else os.fspath(source))
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
    """Return frames per second of a video file or webcam, 25 if that is unknown."""
    with _Capture(source) as capture:
        return capture.get(cv2.CAP_PROP_FPS) or 25.0
