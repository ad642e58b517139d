"""The parts of the benchmark: what each compares, and the tables that come out."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..paper_tables.models import PaperModels
from ..report_table import ReportTable
from .memory import peak_memory
from .necks import LATERALS, head_forward, neck_forward, neck_training
from .peers import PEERS, peer_label_maps
from .pictures import scaling_picture
from .processes import ALLOCATORS, compare
from .roofline import measure_roofline
from .scaling import over_sizes, over_tokens
from .segmentors import DETECTRON2, VT_SEG, label_maps, training_step
from .settings import Precision, Settings, in_words, low_precisions, named
from .tables import (
    macs_table,
    memory_table,
    peer_table,
    roofline_table,
    sizes_table,
    speed_table,
    tokens_table,
)
from .timing import Build, Comparison


@dataclass(frozen=True)
class PartResult:
    """What a part found.

    Attributes:
        tables: in their order.
        picture: a PNG that shows them, if there is one.
    """

    tables: list[ReportTable]
    picture: bytes | None = None


def neck(settings: Settings) -> PartResult:
    """The necks on the same maps: inference and training."""
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
    """Multiply-adds of the necks for one image."""
    models = PaperModels(settings.configs)
    ours = models.printed_neck("vtfpn_R50_cocostuff", settings.size)
    return {
        "Detectron2's FPN": models.segmentation("fpn_R50_cocostuff", settings.size).macs["neck"],
        "VT-FPN, as the paper counts it": ours.total_macs,
        "VT-FPN, as it is computed": models.segmentation("vtfpn_R50_cocostuff", settings.size).macs[
            "neck"
        ],
        LATERALS: ours.macs["laterals"],
    }


def head(settings: Settings) -> PartResult:
    """The prediction heads alone, up to the logits at stride 4."""
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
    """Whole models, from a uint8 image to its label map."""
    groups = {
        f"Image to label map, {precision.name}, {classes} classes, {settings.images}": (
            model_builds(settings, classes, precision)
        )
        for classes in settings.classes
        for precision in settings.precisions()
    }
    return _timed(settings, groups, settings.slow_rounds)


def model_builds(settings: Settings, classes: int, precision: Precision) -> dict[str, Build]:
    """Both libraries' models in all layouts; Detectron2's NCHW comes first, as the reference."""
    builds = {}
    for layout in settings.layouts:
        work = partial(
            label_maps, settings, classes=classes, precision=precision, channels_last=layout
        )
        builds[named(DETECTRON2, layout, "argmax")] = partial(work, DETECTRON2)
        builds[named(VT_SEG, layout, "labels")] = partial(work, VT_SEG)
        builds[named(VT_SEG, layout, "logits, argmax")] = partial(work, VT_SEG, labels=False)
        if settings.compile:
            builds[named(DETECTRON2, layout, "argmax, compiled")] = partial(
                work, DETECTRON2, compiled=True
            )
            builds[named(VT_SEG, layout, "labels, compiled")] = partial(work, VT_SEG, compiled=True)
    return builds


def training(settings: Settings) -> PartResult:
    """A training step of both, and its memory."""
    precision = settings.precision
    builds = {
        named(name, layout): partial(
            training_step, settings, name, precision=precision, channels_last=layout
        )
        for layout in settings.layouts
        for name in (DETECTRON2, VT_SEG)
    }
    title = (
        f"Training step, {precision.name}, {settings.train_batch} x {in_words(settings.train_size)}"
    )
    timed = _timed(settings, {title: builds}, settings.slow_rounds)
    peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
    table = memory_table(f"{title}: peak memory", peaks, next(iter(builds)))
    return PartResult([*timed.tables, table])


def memory(settings: Settings) -> PartResult:
    """Peak memory of a prediction above the model."""
    precision, tables = settings.precision, []
    for classes in settings.classes:
        builds = model_builds(settings, classes, precision)
        peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
        what = f"{precision.name}, {classes} classes, {settings.images}"
        title = f"Peak memory above the model, {what}"
        tables.append(memory_table(title, peaks, next(iter(builds))))
    return PartResult(tables)


def peers(settings: Settings) -> PartResult:
    """What a user would pick instead, at the first number of classes."""
    precision = settings.precision
    work = partial(label_maps, settings, precision=precision)
    title = named("Detectron2's semantic FPN R-50", settings.layout)
    ours = {title: partial(work, DETECTRON2, channels_last=settings.layout)}
    for layout in settings.layouts:
        title = named("VT-FPN R-50 (vt_seg)", layout)
        ours[title] = partial(work, VT_SEG, channels_last=layout)
    installed = {
        name: partial(peer_label_maps, settings, name)
        for name, peer in PEERS.items()
        if peer.is_installed
    }
    builds = {**ours, **installed}
    timed = compare({"peers": builds}, settings, rounds=settings.slow_rounds)["peers"]
    peaks = {name: peak_memory(build, settings) for name, build in builds.items()}
    missing = {name: peer.install for name, peer in PEERS.items() if not peer.is_installed}
    title = f"Other models, {precision.name}, {settings.classes[0]} classes, {settings.images}"
    return PartResult([peer_table(title, timed, peaks, next(iter(builds)), missing)])


def scaling(settings: Settings) -> PartResult:
    """Cost over image size and tokens, and the machine's roofline, with their picture."""
    sizes, tokens = over_sizes(settings), over_tokens(settings)
    roofline = measure_roofline(settings)
    tables = [
        sizes_table(sizes, settings),
        tokens_table(tokens, settings),
        roofline_table(roofline, settings),
    ]
    return PartResult(tables, scaling_picture(sizes, tokens, roofline, settings))


PARTS: dict[str, Callable[[Settings], PartResult]] = {
    "neck": neck,
    "head": head,
    "model": model,
    "training": training,
    "memory": memory,
    "peers": peers,
    "scaling": scaling,
}


def _timed(
    settings: Settings,
    groups: dict[str, dict[str, Build]],
    rounds: int,
    *,
    bounds: dict[str, str] | None = None,
) -> PartResult:
    """Each group with both allocators, where the device lets them matter; its first is 1.00."""
    allocators = ["warm"] if settings.device.startswith("cuda") else list(ALLOCATORS)
    found = {
        allocator: compare(groups, settings, rounds=rounds, allocator=allocator)
        for allocator in allocators
    }
    tables = []
    for title, builds in groups.items():
        comparisons = {allocator: found[allocator][title] for allocator in allocators}
        tables.append(
            speed_table(
                title,
                comparisons,
                next(iter(builds)),
                text=_compile_times(comparisons),
                bounds=bounds,
            )
        )
    return PartResult(tables)


def _compile_times(comparisons: dict[str, Comparison]) -> str:
    """A sentence, "" where nothing was compiled."""
    first = next(iter(comparisons.values())).first_call
    times = [f"{name} {s:.0f} s" for name, s in first.items() if "compiled" in name]
    return f"The first call compiles: {', '.join(times)}." if times else ""
