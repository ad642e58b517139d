"""The paper's tables of ImageNet classifiers, with the cost of ours."""

from collections.abc import Iterator, Mapping

from ..report_table import ReportTable, Row
from . import reported
from .models import PaperModels
from .reported import DEPTHS, ClassifierRow
from .table_rows import (
    FROM_BASE,
    STAGE_5,
    classifier_row,
    cost_columns,
    from_base_cells,
    note,
    percent,
    stage_5_cells,
)


def v1_table_1(models: PaperModels) -> ReportTable:
    """Return ResNets and VT-ResNets, each VT-ResNet in all interpretations of the paper."""
    table = "v1 Table 1"

    def rows() -> Iterator[Row]:
        for depth in DEPTHS:
            variants = [(f"R-{depth}", "torchvision's", f"resnet_R{depth}_default", ())]
            for interpretation, keys in reported.V1_INTERPRETATIONS[depth].items():
                config = f"vtresnet_v1_R{depth}_default"
                variants.append((f"VT-R-{depth}", interpretation, config, keys))
            for model, interpretation, config, keys in variants:
                cost = models.classifier(config, keys)
                labels = (model, interpretation)
                row = classifier_row(table, labels, reported.V1_TABLE_1[model], cost, "G")
                yield row.extended(*stage_5_cells(cost))

    return ReportTable(
        f"{table}: ResNets and VT-ResNets",
        ("model", "interpretation", *cost_columns(table, "G"), *STAGE_5),
        tuple(rows()),
        num_labels=2,
    )


def v1_table_2(models: PaperModels) -> ReportTable:
    """Return the reductions of v1's VT-ResNets."""
    return _reductions(models, "v1 Table 2", "v1 Table 1", reported.V1_TABLE_1)


def v4_table_1(models: PaperModels) -> ReportTable:
    """Return the reductions of v4's VT-ResNets."""
    return _reductions(models, "v4 Table 1", "v4 Table 8", reported.V4_TABLE_8)


def _reductions(
    models: PaperModels, table: str, totals_table: str, totals: Mapping[str, ClassifierRow]
) -> ReportTable:
    """Return how many times fewer MACs and parameters VT-ResNets have than ResNets.

    Args:
        models: Ours.
        table: Name of the paper's table.
        totals_table: Name of the paper's table of totals, from which its reductions follow.
        totals: The rows of that table.
    """
    revision = table[:2]

    def ratios(depth: int) -> Iterator[tuple[float, ...]]:
        """Yield (ours, by the paper's totals, executed) in the order of ``REDUCTIONS``."""
        resnet = models.classifier(f"resnet_R{depth}_default")
        vt = models.classifier(
            f"vtresnet_{revision}_R{depth}_default", reported.fitting_keys(revision, depth)
        )
        row = totals[f"VT-R-{depth}"]
        whole = float(row.macs) * 1e9
        outside = vt.macs - vt.stage5_macs
        yield resnet.macs / vt.macs, resnet.macs / whole, resnet.macs / vt.executed_macs
        before = resnet.stage5_macs
        yield before / vt.stage5_macs, before / (whole - outside), before / vt.executed_stage5_macs
        whole = float(row.params) * 1e6
        outside = vt.params - vt.stage5_params
        yield resnet.params / vt.params, resnet.params / whole
        before = resnet.stage5_params
        yield before / vt.stage5_params, before / (whole - outside)

    by_depth = {depth: list(ratios(depth)) for depth in DEPTHS}
    rows = []
    for i, (quantity, numbers) in enumerate(reported.REDUCTIONS.items()):
        for depth, number in zip(DEPTHS, numbers, strict=True):
            ours, by_totals, *executed = by_depth[depth][i]
            labels = (quantity, f"R-{depth}")
            cells = (
                f"{number}x",
                f"{ours:.2f}x",
                percent(ours, number),
                f"{by_totals:.2f}x",
                f"{executed[0]:.2f}x" if executed else "-",
            )
            rows.append(Row((*labels, *cells), note(table, labels)))
    columns = ("reduction of", "model", "paper", "ours", "difference")
    return ReportTable(
        f"{table}: times fewer MACs and parameters than the ResNet",
        (*columns, f"by the totals of {totals_table}", "executed"),
        tuple(rows),
        num_labels=2,
    )


def v1_table_3(models: PaperModels) -> ReportTable:
    """Return the ablations of v1."""
    return _ablations(models, "v1 Table 3: ablations", reported.V1_TABLE_3, "G")


def v4_ablations(models: PaperModels, number: int) -> ReportTable:
    """Return v4 Table 3, 4, 5, 6 or 7; the base of each is v4 Table 2."""
    title = {
        3: "tokenizer of the first VT module",
        4: "recurrent tokenizers",
        5: "token mixer",
        6: "number of tokens",
        7: "projector",
    }[number]
    rows = {
        depth: {"base": reported.V4_TABLE_2[depth], **variants}
        for depth, variants in reported.V4_ABLATIONS[number].items()
    }
    return _ablations(models, f"v4 Table {number}: {title}", rows, "M")


def _ablations(
    models: PaperModels, title: str, rows: Mapping[int, Mapping[str, ClassifierRow]], unit: str
) -> ReportTable:
    """Return variants by depth, compared with their base."""
    table = title.partition(":")[0]
    revision = table[:2]

    def counted() -> Iterator[Row]:
        for depth, variants in rows.items():
            config = f"vtresnet_{revision}_R{depth}_default"
            keys = ()
            if revision == "v1":
                name = reported.V1_TABLE_3_INTERPRETATIONS[depth]
                keys = reported.V1_INTERPRETATIONS[depth][name]
            base = models.classifier(config, keys)
            for variant, row in variants.items():
                labels = (f"VT-R-{depth}", variant)
                if variant == "base":
                    whole = classifier_row(table, labels, row, base, unit)
                    yield whole.extended(*[""] * len(FROM_BASE))
                    continue
                cost = models.classifier(config, keys, reported.ABLATION_CONFIGS[variant])
                whole = classifier_row(table, labels, row, cost, unit)
                yield whole.extended(*from_base_cells(variants["base"], row, base, cost, unit))

    columns = ("model", "variant", *cost_columns(table, unit), *FROM_BASE)
    return ReportTable(title, columns, tuple(counted()), num_labels=2)


def v4_table_2(models: PaperModels) -> ReportTable:
    """Return VT-ResNets under the default recipe."""
    table = "v4 Table 2"

    def rows() -> Iterator[Row]:
        for depth, row in reported.V4_TABLE_2.items():
            for interpretation, keys in reported.V4_INTERPRETATIONS.items():
                cost = models.classifier(f"vtresnet_v4_R{depth}_default", keys)
                labels = (f"VT-R-{depth}", interpretation)
                yield classifier_row(table, labels, row, cost, "M").extended(*stage_5_cells(cost))

    return ReportTable(
        f"{table}: VT-ResNets, default recipe",
        ("model", "interpretation", *cost_columns(table, "M"), *STAGE_5),
        tuple(rows()),
        num_labels=2,
    )


def v4_table_8(models: PaperModels) -> ReportTable:
    """Return VT-ResNets under the advanced recipe."""
    table = "v4 Table 8"

    def rows() -> Iterator[Row]:
        for depth in DEPTHS:
            model = f"VT-R-{depth}"
            cost = models.classifier(f"vtresnet_v4_R{depth}_advanced")
            row = classifier_row(table, (model,), reported.V4_TABLE_8[model], cost, "G")
            yield row.extended(*stage_5_cells(cost))

    return ReportTable(
        f"{table}: VT-ResNets, advanced recipe",
        ("model", *cost_columns(table, "G"), *STAGE_5),
        tuple(rows()),
    )
