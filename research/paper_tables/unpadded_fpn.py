"""What Detectron2's semantic FPN would cost without the padding that it needs to run.

The paper counts its FPN baseline at 473 x 473, where Detectron2 pads to 480 x 480: a top-down sum
needs maps that double. Each layer can still be counted on a map of the size due at its level.
"""

import torch
from detectron2.config import CfgNode

from vt_seg.complexity import ModelCost, build_on_meta, count_macs, num_parameters


def count_unpadded_fpn(cfg: CfgNode, size: tuple[int, int]) -> ModelCost:
    """Cost of a semantic FPN for one image that is not padded, its sums left out.

    Every convolution runs on the map of its level as the bottom-up network gives it, of
    ``ceil(side / stride)`` pixels; the sums, which cost no MACs, do not.

    Args:
        cfg: a config with ``build_resnet_fpn_backbone`` and ``SemSegFPNHead`` (or one derived).
        size: (height, width) in pixels.
    """
    model = build_on_meta(cfg)
    fpn, head = model.backbone, model.sem_seg_head
    image = torch.empty(1, len(cfg.MODEL.PIXEL_MEAN), *size, device="meta")
    maps, levels = {}, {}
    backbone_macs = count_macs(lambda: maps.update(fpn.bottom_up(image)))
    # Both lists of the FPN begin with the coarsest level.
    from_coarsest = [maps[name] for name in reversed(fpn.in_features)]

    def run_neck() -> None:
        outputs = [
            output(lateral(x))
            for lateral, output, x in zip(
                fpn.lateral_convs, fpn.output_convs, from_coarsest, strict=True
            )
        ]
        # The top block's p6 is none that the head reads.
        levels.update(zip(fpn.output_shape(), reversed(outputs), strict=False))

    def run_head() -> None:
        scaled = [
            scale_head(levels[name])
            for scale_head, name in zip(head.scale_heads, head.in_features, strict=True)
        ]
        head.predictor(scaled[0])  # on the finest level, as the sum would be

    macs = {
        "backbone": backbone_macs,
        "neck": count_macs(run_neck),
        "head": count_macs(run_head),
    }
    in_bottom_up = num_parameters(fpn.bottom_up)
    parameters = {
        "backbone": in_bottom_up,
        "neck": num_parameters(fpn) - in_bottom_up,
        "head": num_parameters(head),
    }
    return ModelCost(tuple(size), tuple(size), macs, parameters)
