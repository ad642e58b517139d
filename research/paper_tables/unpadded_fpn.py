"""The cost of Detectron2's semantic FPN without the padding that it needs.

The paper counts its FPN baseline at 473 x 473 pixels, where Detectron2 pads to 480 x 480, since its
top-down sums need maps of twice the size. Each layer can still be counted on the unpadded map of
its level.
"""

import torch
from detectron2.config import CfgNode

from vt_seg.complexity import ModelCost, build_on_meta, count_macs, num_parameters


def count_unpadded_fpn(cfg: CfgNode, size: tuple[int, int]) -> ModelCost:
    """Return the cost of a semantic FPN for one image that is not padded.

    Every convolution runs on a map of its level of ``ceil(side / stride)`` pixels. The sums, which
    have no MACs, do not run.

    Args:
        cfg: A config with ``build_resnet_fpn_backbone`` and ``SemSegFPNHead`` or a subclass.
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
        # The head does not read the top block's p6.
        levels.update(zip(fpn.output_shape(), reversed(outputs), strict=False))

    def run_head() -> None:
        scaled = [
            scale_head(levels[name])
            for scale_head, name in zip(head.scale_heads, head.in_features, strict=True)
        ]
        head.predictor(scaled[0])  # The sum would have the size of the finest level.

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
