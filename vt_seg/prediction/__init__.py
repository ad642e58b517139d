"""Predicting with a trained model: images, folders, videos in; label maps and files out."""

from .load_config import ModelConfig, load_model_config
from .predict_video import predict_video
from .prediction_files import SAVED, predict_files, prediction_files
from .predictor import TILE_TOKENS, Prediction, Predictor
from .sources import ImageSource, image_sources
from .video_frames import is_video, matching_videos, video_frames

__all__ = [
    "SAVED", "TILE_TOKENS", "ImageSource", "ModelConfig", "Prediction", "Predictor",
    "image_sources", "is_video", "load_model_config", "matching_videos", "predict_files",
    "predict_video", "prediction_files", "video_frames",
]  # fmt: skip
