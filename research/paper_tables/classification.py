"""The paper's classifiers on ImageNet, with ours beside them."""

from collections.abc import Iterator, Mapping

from ..report_table import ReportTable, Row
from . import numbers
from .cells import (
    FROM_BASE,
    STAGE_5,
    classifier_row,
    cost_columns,
    from_base_cells,
    note,
    percent,
    stage_5_cells,
)
from .models import PaperModels
from .numbers import ClassifierRow
from .readings import (
    ABLATIONS,
    DEPTHS,
    V1_READINGS,
    V1_TABLE_3_READINGS,
    V4_READINGS,
    fitting_keys,
)

SECOND_HAND = "The paper's digits are second-hand here (see above)."
"""What every table of v4 says first."""


def v1_table_1(models: PaperModels) -> ReportTable:
    """ResNets and VT-ResNets, every VT-ResNet in each reading of the paper."""
    table = "v1 Table 1"

    def rows() -> Iterator[Row]:
        for depth in DEPTHS:
            candidates = [(f"R-{depth}", "torchvision's", f"resnet_R{depth}_default", ())]
            for reading, keys in V1_READINGS[depth].items():
                name = f"vtresnet_v1_R{depth}_default"
                candidates.append((f"VT-R-{depth}", reading, name, keys))
            for model, reading, config, keys in candidates:
                cost = models.classifier(config, keys)
                printed = numbers.V1_TABLE_1[model]
                row = classifier_row(table, (model, reading), printed, cost, "G")
                yield row.extended(*stage_5_cells(cost))

    return ReportTable(
        f"{table}: ResNets and VT-ResNets",
        ("model", "reading", *cost_columns(table, "G"), *STAGE_5),
        tuple(rows()),
        "The paper's text and its counts do not say the same. Each reading is a row, the one that "
        "fits the counts first. Configs: `configs/imagenet/resnet_R*_default.yaml` and, with the "
        "keys that a reading changes, `configs/imagenet/vtresnet_v1_R*_default.yaml`. Rows of "
        "other methods are left out.",
        num_labels=2,
    )


def v1_table_2(models: PaperModels) -> ReportTable:
    """How many times fewer MACs and parameters v1's VT-ResNets have than ResNets."""
    return _reductions(
        models,
        "v1 Table 2",
        "v1",
        "v1 Table 1",
        numbers.V1_TABLE_1,
        "Ours are the first readings of each model in v1 Table 1, their MACs by the formulas. Next "
        "to them is what the totals that the paper reports in its Table 1 make of it, all but "
        "stage 5 being known.",
    )


def v4_table_1(models: PaperModels) -> ReportTable:
    """How many times fewer MACs and parameters v4's VT-ResNets have than ResNets."""
    return _reductions(
        models,
        "v4 Table 1",
        "v4",
        "v4 Table 8",
        numbers.V4_TABLE_8,
        f"{SECOND_HAND} By the notes the ratios are v1's, although v4's models have twice the "
        "tokens and VT-R-18 and VT-R-34 half the channels. Ours are v4's models, as its text "
        "describes them, their MACs by the formulas.",
    )


def _reductions(
    models: PaperModels,
    table: str,
    revision: str,
    own_table: str,
    own: Mapping[str, ClassifierRow],
    text: str,
) -> ReportTable:
    def ratios(depth: int) -> Iterator[tuple[float, ...]]:
        """Ours, by the paper's own totals, and executed, in the order of ``numbers.REDUCTIONS``."""
        resnet = models.classifier(f"resnet_R{depth}_default")
        vt = models.classifier(
            f"vtresnet_{revision}_R{depth}_default", fitting_keys(revision, depth)
        )
        printed = own[f"VT-R-{depth}"]
        whole = float(printed.macs) * 1e9
        outside = vt.macs - vt.stage5_macs
        yield resnet.macs / vt.macs, resnet.macs / whole, resnet.macs / vt.executed_macs
        before = resnet.stage5_macs
        yield before / vt.stage5_macs, before / (whole - outside), before / vt.executed_stage5_macs
        whole = float(printed.params) * 1e6
        outside = vt.params - vt.stage5_params
        yield resnet.params / vt.params, resnet.params / whole
        before = resnet.stage5_params
        yield before / vt.stage5_params, before / (whole - outside)

    by_depth = {depth: list(ratios(depth)) for depth in DEPTHS}
    rows = []
    for i, (quantity, printed) in enumerate(numbers.REDUCTIONS.items()):
        for depth, number in zip(DEPTHS, printed, strict=True):
            ours, by_own_table, *executed = by_depth[depth][i]
            labels = (quantity, f"R-{depth}")
            cells = (
                f"{number}x",
                f"{ours:.2f}x",
                percent(ours, number),
                f"{by_own_table:.2f}x",
                f"{executed[0]:.2f}x" if executed else "-",
            )
            rows.append(Row((*labels, *cells), note(table, labels)))
    return ReportTable(
        f"{table}: times fewer MACs and parameters than the ResNet",
        (
            "reduction of",
            "model",
            "paper",
            "ours",
            "difference",
            f"by the totals of {own_table}",
            "executed",
        ),
        tuple(rows),
        text,
        num_labels=2,
    )


def v1_table_3(models: PaperModels) -> ReportTable:
    """Ablations of v1."""
    return _ablations(
        models,
        "v1 Table 3",
        "without transformer (-TF), positional encoding (-PE), dynamic tokenizers (-DT)",
        numbers.V1_TABLE_3,
        "G",
    )


def v4_ablations(models: PaperModels, number: int) -> ReportTable:
    """v4 Table 3, 4, 5, 6 or 7; the base of each is v4 Table 2."""
    title, rows = {
        3: ("tokenizer of the first VT module (base: filter-based)", numbers.V4_TABLE_3),
        4: ("recurrent tokenizers", numbers.V4_TABLE_4),
        5: ("what relates the tokens (base: transformer)", numbers.V4_TABLE_5),
        6: ("number of tokens (base: 16)", numbers.V4_TABLE_6),
        7: ("projector", numbers.V4_TABLE_7),
    }[number]
    with_base = {depth: {"base": numbers.V4_TABLE_2[depth], **rows[depth]} for depth in rows}
    return _ablations(models, f"v4 Table {number}", title, with_base, "M")


def _ablations(
    models: PaperModels,
    table: str,
    title: str,
    printed_rows: Mapping[int, Mapping[str, ClassifierRow]],
    unit: str,
) -> ReportTable:
    revision = table[:2]

    def rows() -> Iterator[Row]:
        for depth, variants in printed_rows.items():
            config = f"vtresnet_{revision}_R{depth}_default"
            keys = V1_READINGS[depth][V1_TABLE_3_READINGS[depth]] if revision == "v1" else ()
            base = models.classifier(config, keys)
            for variant, printed in variants.items():
                labels = (f"VT-R-{depth}", variant)
                if variant == "base":
                    row = classifier_row(table, labels, printed, base, unit)
                    yield row.extended(*[""] * len(FROM_BASE))
                    continue
                cost = models.classifier(config, keys, ABLATIONS[variant])
                row = classifier_row(table, labels, printed, cost, unit)
                yield row.extended(*from_base_cells(variants["base"], printed, base, cost, unit))

    source = f"{SECOND_HAND} " if revision == "v4" else ""
    variants = next(iter(printed_rows.values()))
    files = "".join(
        f" {variant}: the keys of `configs/ablations/{ABLATIONS[variant]}.yaml` on top."
        for variant in variants
        if variant != "base"
    )
    return ReportTable(
        f"{table}: {title}",
        ("model", "variant", *cost_columns(table, unit), *FROM_BASE),
        tuple(rows()),
        f"{source}Base: `configs/imagenet/vtresnet_{revision}_R*_default.yaml`"
        + (" with 16 tokens" if revision == "v1" else "")
        + f".{files}",
        num_labels=2,
    )


def v4_table_2(models: PaperModels) -> ReportTable:
    """VT-ResNets under the default recipe."""
    table = "v4 Table 2"

    def rows() -> Iterator[Row]:
        for depth, printed in numbers.V4_TABLE_2.items():
            for reading, keys in V4_READINGS.items():
                cost = models.classifier(f"vtresnet_v4_R{depth}_default", keys)
                row = classifier_row(table, (f"VT-R-{depth}", reading), printed, cost, "M")
                yield row.extended(*stage_5_cells(cost))

    saved = ""
    for depth, printed in numbers.V4_TABLE_2.items():
        resnet = round(models.classifier(f"resnet_R{depth}_default").macs / 1e6)
        by_text = resnet - numbers.V4_SAVED_MACS[depth]
        saved += (
            f" ResNet-{depth} has {resnet} M MACs, of which VT-R-{depth} saves "
            f"{numbers.V4_SAVED_MACS[depth]} M by v4 Sec. 5.1: the text gives {by_text} M where "
            f"the notes have {printed.macs} M."
        )
    return ReportTable(
        f"{table}: VT-ResNets, default recipe",
        ("model", "reading", *cost_columns(table, "M"), *STAGE_5),
        tuple(rows()),
        f"{SECOND_HAND} Configs: `configs/imagenet/vtresnet_v4_R*_default.yaml`.{saved}",
        num_labels=2,
    )


def v4_table_8(models: PaperModels) -> ReportTable:
    """VT-ResNets under the advanced recipe."""
    table = "v4 Table 8"

    def rows() -> Iterator[Row]:
        for depth in DEPTHS:
            model = f"VT-R-{depth}"
            cost = models.classifier(f"vtresnet_v4_R{depth}_advanced")
            row = classifier_row(table, (model,), numbers.V4_TABLE_8[model], cost, "G")
            yield row.extended(*stage_5_cells(cost))

    return ReportTable(
        f"{table}: VT-ResNets, advanced recipe",
        ("model", *cost_columns(table, "G"), *STAGE_5),
        tuple(rows()),
        f"{SECOND_HAND} Configs: `configs/imagenet/vtresnet_v4_R*_advanced.yaml`.",
    )
