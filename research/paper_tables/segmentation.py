"""The paper's segmentation models, with ours beside them."""

from collections.abc import Iterator

from ..report_table import ReportTable, Row
from . import numbers
from .cells import macs_cells, macs_columns, note
from .models import PaperModels


def _by_formulas(
    models: PaperModels, config: str, size: tuple[int, int]
) -> Iterator[dict[str, int]]:
    """MACs of a VT-FPN's parts with its ``W_V`` on tokens, then on pixels."""
    backbone = models.segmentation(config, size).macs["backbone"]
    # The head has the layers of the FPN's, which runs as the paper describes it.
    head = models.segmentation(config.removeprefix("vt"), size, padded=False).macs["head"]
    for on_tokens in (True, False):
        neck = models.printed_neck(config, size, values_on_tokens=on_tokens).total_macs
        yield {"backbone": backbone, "neck": neck, "head": head}


def v1_table_4(models: PaperModels) -> ReportTable:
    """FPN and VT-FPN, and their necks alone."""
    table = "v1 Table 4"

    def rows() -> Iterator[Row]:
        for (dataset, model), printed in numbers.V1_TABLE_4.items():
            size = numbers.SEGMENTATION_SIZES[dataset]
            depth, neck = model.split()
            config = f"{neck}_{depth}_{dataset}".replace("-", "").lower().replace("_r", "_R")
            costs = [models.segmentation(config, size)]
            if costs[0].counted_size != size:  # Detectron2 pads for an FPN; the paper does not
                costs.insert(0, models.segmentation(config, size, padded=False))
            for cost in costs:
                counts = [cost.macs] * 3
                if neck == "VT-FPN":
                    counts[:2] = _by_formulas(models, config, size)
                totals = [sum(macs.values()) / 1e9 for macs in counts]
                necks = [macs["neck"] / 1e9 for macs in counts]
                labels = (dataset, model, "x".join(map(str, cost.counted_size)))
                cells = (
                    printed.miou,
                    printed.total,
                    *macs_cells(table, printed.total, totals, 2),
                    printed.neck,
                    *macs_cells(table, printed.neck, necks, 2),
                    f"{sum(cost.parameters.values()) / 1e6:.2f}",
                )
                yield Row((*labels, *cells), note(table, labels))

    return ReportTable(
        f"{table} (by the notes v4 Tables 9 and 10): FPN and VT-FPN",
        (
            "dataset",
            "model",
            "counted at",
            "mIoU %: paper",
            "MACs G: paper",
            *macs_columns(table),
            "neck, MACs G: paper",
            *macs_columns(table),
            "params M: ours",
        ),
        tuple(rows()),
        "The neck is what the paper calls FPN MACs: laterals and output convolutions of an FPN, "
        "all of VT-FPN. Its 8.5 G need two readings at once: each level's projector reads the "
        "level's own 8 tokens (all 32 would make it 9.58 G), and W_V is on tokens (8.86 G with W_V "
        "on pixels, as Eq. 1 has it; 9.91 G with neither). Executed, the head of VT-FPN computes "
        "the logits of coarse levels before they are upsampled 2x, 0.1 G on COCO-Stuff. The paper "
        "gives no parameters; ours are all there are. The sizes are those at which the paper "
        "counts; it does not say at which it trains on LIP. Configs: "
        "`configs/{fpn,vtfpn}_{R50,R101}_{cocostuff,lip}.yaml`.",
        num_labels=3,
    )
