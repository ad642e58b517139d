"""The parts of the benchmark: what each measures, and its tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..paper_tables.models import PaperModels
from ..report_table import ReportTable
from .memory import peak_memory
from .necks import LATERALS, head_forward, neck_forward, neck_training
from .other_models import OTHER_MODELS, other_label_maps
from .plots import scaling_plot
from .processes import ALLOCATORS, compare
from .roofline import measure_roofline
from .scaling import over_sizes, over_tokens
from .segmentors import DETECTRON2, VT_SEG, label_maps, training_step
from .settings import Precision, Settings, low_precisions, named, size_text
from .tables import (
    macs_table,
    memory_table,
    other_models_table,
    roofline_table,
    sizes_table,
    speed_table,
    tokens_table,
)
from .timing import Build


@dataclass(frozen=True)
class PartResult:
    """The tables of a part.

    Attributes:
        tables: Tables in their order.
        plot: A PNG of their figures, if there is one.
    """

    tables: list[ReportTable]
    plot: bytes | None = None


def neck(settings: Settings) -> PartResult:
    """Compare the necks on the same maps, in inference and training."""
    titles = {DETECTRON2: "Detectron2's FPN", VT_SEG: "VT-FPN", LATERALS: LATERALS}
    groups, bounds = {}, {}
    precisions = list(dict.fromkeys([*settings.precisions(), *low_precisions("bfloat16")]))
    for mode, build in (("forward", neck_forward), ("forward and backward", neck_training)):
        for precision in precisions if mode == "forward" else settings.precisions():
            builds = groups[f"Neck, {mode}, {precision.name}, {settings.images}"] = {}
            for layout in settings.layouts:
                work = partial(build, settings, precision=precision, channels_last=layout)
                of_layout = {named(titles[name], layout): partial(work, name) for name in titles}
                if settings.compile and mode == "forward":
                    for name in (DETECTRON2, VT_SEG):
                        title = named(titles[name], layout, "compiled")
                        of_layout[title] = partial(work, name, compiled=True)
                builds.update(of_layout)
                bounds.update(dict.fromkeys(of_layout, named(LATERALS, layout)))
    timed = _timed(settings, groups, settings.rounds, bounds=bounds)
    return PartResult([macs_table(neck_macs(settings), settings), *timed.tables])


def neck_macs(settings: Settings) -> dict[str, int]:
    """Return the multiply-adds of the necks for one image."""
    models = PaperModels(settings.configs)
    ours = models.neck_by_formulas("vtfpn_R50_cocostuff", settings.size)
    return {
        "Detectron2's FPN": models.segmentation("fpn_R50_cocostuff", settings.size).macs["neck"],
        "VT-FPN, by the paper's formulas": ours.total_macs,
        "VT-FPN, executed": models.segmentation("vtfpn_R50_cocostuff", settings.size).macs["neck"],
        LATERALS: ours.macs["laterals"],
    }


def head(settings: Settings) -> PartResult:
    """Compare the prediction heads alone, up to the logits at stride 4."""
    groups = {}
    for precision in settings.precisions():
        title = f"Prediction head, {precision.name}, {settings.classes[0]} classes"
        groups[f"{title}, {settings.images}"] = {
            named(name, layout): partial(
                head_forward, settings, name, precision=precision, channels_last=layout
            )
            for layout in settings.layouts
            for name in (DETECTRON2, VT_SEG)
        }
    return _timed(settings, groups, settings.rounds)


def model(settings: Settings) -> PartResult:
    """Compare whole models, from a uint8 image to its label map."""
    groups = {
        f"Image to label map, {precision.name}, {classes} classes, {settings.images}": (
            model_builds(settings, classes, precision)
        )
        for classes in settings.classes
        for precision in settings.precisions()
    }
    return _timed(settings, groups, settings.slow_rounds)


def model_builds(settings: Settings, classes: int, precision: Precision) -> dict[str, Build]:
    """Return both libraries' models in all memory formats; the first is the reference."""
    builds = {}
    for layout in settings.layouts:
        work = partial(
            label_maps, settings, classes=classes, precision=precision, channels_last=layout
        )
        builds[named(DETECTRON2, layout, "argmax")] = partial(work, DETECTRON2)
        builds[named(VT_SEG, layout, "optimized")] = partial(work, VT_SEG, optimized=True)
        builds[named(VT_SEG, layout, "argmax")] = partial(work, VT_SEG, optimized=False)
        if settings.compile:
            for library in (DETECTRON2, VT_SEG):
                builds[named(library, layout, "argmax, compiled")] = partial(
                    work, library, optimized=False, compiled=True
                )
    return builds


def training(settings: Settings) -> PartResult:
    """Compare time and memory of a training step."""
    precision = settings.precision
    builds = {
        named(name, layout): partial(
            training_step, settings, name, precision=precision, channels_last=layout
        )
        for layout in settings.layouts
        for name in (DETECTRON2, VT_SEG)
    }
    images = f"{settings.train_batch} x {size_text(settings.train_size)}"
    title = f"Training step, {precision.name}, {images}"
    timed = _timed(settings, {title: builds}, settings.slow_rounds)
    peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
    table = memory_table(f"{title}: peak memory", peaks, next(iter(builds)))
    return PartResult([*timed.tables, table])


def memory(settings: Settings) -> PartResult:
    """Compare the peak memory of inference above the model."""
    precision, tables = settings.precision, []
    for classes in settings.classes:
        builds = model_builds(settings, classes, precision)
        peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
        what = f"{precision.name}, {classes} classes, {settings.images}"
        title = f"Peak memory above the model, {what}"
        tables.append(memory_table(title, peaks, next(iter(builds))))
    return PartResult(tables)


def other_models(settings: Settings) -> PartResult:
    """Compare models of other libraries, at the first number of classes."""
    precision = settings.precision
    work = partial(label_maps, settings, precision=precision)
    title = named("Detectron2's semantic FPN R-50", settings.layout)
    ours = {title: partial(work, DETECTRON2, channels_last=settings.layout)}
    for layout in settings.layouts:
        title = named("VT-FPN R-50 (vt_seg)", layout)
        ours[title] = partial(work, VT_SEG, channels_last=layout)
    installed = {
        name: partial(other_label_maps, settings, name)
        for name, model in OTHER_MODELS.items()
        if model.is_installed
    }
    builds = {**ours, **installed}
    timed = compare({"all": builds}, settings, rounds=settings.slow_rounds)["all"]
    peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
    missing = {
        name: model.install for name, model in OTHER_MODELS.items() if not model.is_installed
    }
    title = f"Other models, {precision.name}, {settings.classes[0]} classes, {settings.images}"
    return PartResult([other_models_table(title, timed, peaks, next(iter(builds)), missing)])


def scaling(settings: Settings) -> PartResult:
    """Measure the cost over image size and tokens, and the machine's roofline."""
    sizes, tokens = over_sizes(settings), over_tokens(settings)
    roofline = measure_roofline(settings)
    tables = [
        sizes_table(sizes, settings),
        tokens_table(tokens, settings),
        roofline_table(roofline, settings),
    ]
    return PartResult(tables, scaling_plot(sizes, tokens, roofline, settings))


PARTS: dict[str, Callable[[Settings], PartResult]] = {
    "neck": neck,
    "head": head,
    "model": model,
    "training": training,
    "memory": memory,
    "other-models": other_models,
    "scaling": scaling,
}


def _timed(
    settings: Settings,
    groups: dict[str, dict[str, Build]],
    rounds: int,
    *,
    bounds: dict[str, str] | None = None,
) -> PartResult:
    """Time each group with both allocators on a CPU; the first of a group is the reference."""
    allocators = ["warm"] if settings.device.startswith("cuda") else list(ALLOCATORS)
    found = {
        allocator: compare(groups, settings, rounds=rounds, allocator=allocator)
        for allocator in allocators
    }
    tables = []
    for title, builds in groups.items():
        comparisons = {allocator: found[allocator][title] for allocator in allocators}
        tables.append(speed_table(title, comparisons, next(iter(builds)), bounds=bounds))
    return PartResult(tables)
