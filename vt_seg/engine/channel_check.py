"""Keys that do not fit images of other channels or more bits than 8-bit colours."""

from collections.abc import Iterator

from detectron2.config import CfgNode

from vt_seg.data import ImageReader

from .value_ranges import Range


def channel_problems(cfg: CfgNode) -> Iterator[str]:
    """Yield a sentence for each key that contradicts ``INPUT.IN_CHANNELS`` and ``INPUT.DTYPE``."""
    node, channels = cfg.INPUT, cfg.INPUT.IN_CHANNELS
    here = f"where INPUT.IN_CHANNELS is {channels} and INPUT.DTYPE {node.DTYPE}"
    if ImageReader.of(cfg).reads_colors:
        if node.CHANNELS_FIRST or len(node.PICTURE_CHANNELS):
            yield (
                "INPUT.CHANNELS_FIRST and INPUT.PICTURE_CHANNELS are for other images than 8-bit "
                "colours: set INPUT.IN_CHANNELS or INPUT.DTYPE, or leave them at False and ()"
            )
        return
    if channels == 3 and node.FORMAT not in ("BGR", "RGB"):
        yield f"INPUT.FORMAT is {node.FORMAT} {here}: set RGB, the order of the files, or BGR"
    if node.COLOR_AUG_SSD:
        yield f"INPUT.COLOR_AUG_SSD is True {here}: it is for 8-bit colours, so set it to False"
    if node.AFFINE.ENABLED and len(node.AFFINE.BORDER) != channels:
        yield f"INPUT.AFFINE.BORDER is {node.AFFINE.BORDER} {here}: set a number for each channel"
    shown = node.PICTURE_CHANNELS
    if len(shown) not in (0, 1, 3) or not Range(0, channels - 1, whole=True).holds_all(shown):
        yield (
            f"INPUT.PICTURE_CHANNELS is {shown} {here}: set three of the channels "
            f"0..{channels - 1} for red, green and blue, or one for grey, or ()"
        )
