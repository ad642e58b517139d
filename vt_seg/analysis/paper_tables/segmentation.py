"""The paper's segmentation models, with ours beside them."""

from collections.abc import Iterator

from ..report_table import ReportTable, Row
from . import numbers
from .cells import note, percent
from .models import PaperModels


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
                total, in_neck = sum(cost.macs.values()), cost.macs["neck"]
                as_printed = total
                if neck == "VT-FPN":
                    as_printed += models.printed_neck(config, size).total_macs - in_neck
                labels = (dataset, model, "x".join(map(str, cost.counted_size)))
                cells = (
                    printed.miou,
                    printed.total,
                    f"{total / 1e9:.2f}",
                    percent(total / 1e9, printed.total),
                    f"{as_printed / 1e9:.2f}",
                    printed.neck,
                    f"{in_neck / 1e9:.2f}",
                    percent(in_neck / 1e9, printed.neck),
                    f"{sum(cost.parameters.values()) / 1e6:.2f}",
                )
                yield Row((*labels, *cells), note(table, labels))

    return ReportTable(
        f"{table} (v4 Tables 9 and 10): FPN and VT-FPN",
        (
            "dataset",
            "model",
            "counted at",
            "mIoU %: paper",
            "MACs G: paper",
            "ours",
            "difference",
            "as printed",
            "neck, MACs G: paper",
            "ours",
            "difference",
            "params M: ours",
        ),
        tuple(rows()),
        "The neck is what the paper calls FPN MACs: laterals and output convolutions of an FPN, "
        "all of VT-FPN. The paper gives no parameters; ours are all there are. Configs: "
        "`configs/{fpn,vtfpn}_{R50,R101}_{cocostuff,lip}.yaml`.",
        num_labels=3,
    )
