"""The paper's table of segmentation models, with the cost of ours."""

from collections.abc import Iterator

from ..report_table import ReportTable, Row
from .models import PaperModels
from .reported import SEGMENTATION_SIZES, V1_TABLE_4
from .table_rows import macs_cells, macs_columns, note


def v1_table_4(models: PaperModels) -> ReportTable:
    """Return FPN and VT-FPN, and their necks alone."""
    table = "v1 Table 4"
    columns = (
        *("dataset", "model", "counted at", "mIoU %: paper"),
        *("MACs G: paper", *macs_columns(table)),
        *("neck, MACs G: paper", *macs_columns(table)),
        "params M: ours",
    )

    def rows() -> Iterator[Row]:
        for (dataset, model), reported in V1_TABLE_4.items():
            size = SEGMENTATION_SIZES[dataset]
            depth, neck = model.split()
            config = f"{neck}_{depth}_{dataset}".replace("-", "").lower().replace("_r", "_R")
            costs = [models.segmentation(config, size)]
            if costs[0].counted_size != size:  # Detectron2 pads for an FPN; the paper does not.
                costs.insert(0, models.segmentation(config, size, padded=False))
            for cost in costs:
                counts = [cost.macs] * 3
                if neck == "VT-FPN":
                    counts[:2] = _macs_by_formulas(models, config, size)
                totals = [sum(macs.values()) / 1e9 for macs in counts]
                necks = [macs["neck"] / 1e9 for macs in counts]
                labels = (dataset, model, "x".join(map(str, cost.counted_size)))
                cells = (
                    reported.miou,
                    reported.total,
                    *macs_cells(table, reported.total, totals, 2),
                    reported.neck,
                    *macs_cells(table, reported.neck, necks, 2),
                    f"{sum(cost.parameters.values()) / 1e6:.2f}",
                )
                yield Row((*labels, *cells), note(table, labels))

    return ReportTable(f"{table}: FPN and VT-FPN", columns, tuple(rows()), num_labels=3)


def _macs_by_formulas(
    models: PaperModels, config: str, size: tuple[int, int]
) -> Iterator[dict[str, int]]:
    """Yield the MACs of a VT-FPN's parts with its ``W_V`` on tokens, then on pixels."""
    backbone = models.segmentation(config, size).macs["backbone"]
    # The head has the layers of the FPN's, which is executed as the paper describes it.
    head = models.segmentation(config.removeprefix("vt"), size, padded=False).macs["head"]
    for on_tokens in (True, False):
        neck = models.neck_by_formulas(config, size, values_on_tokens=on_tokens).total_macs
        yield {"backbone": backbone, "neck": neck, "head": head}
