"""Handing over a trained model: a folder with weights, config, classes and a model card."""

from .folder import (
    Pretrained,
    from_pretrained,
    is_pretrained,
    pretrained_config,
    push_to_hub,
    save_pretrained,
)

__all__ = [
    "Pretrained", "from_pretrained", "is_pretrained", "pretrained_config", "push_to_hub",
    "save_pretrained",
]  # fmt: skip
