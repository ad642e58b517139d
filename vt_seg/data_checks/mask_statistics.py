"""Adds up what the masks of a dataset hold, and says what is wrong with their labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vt_seg.data import LABEL_MAP, Finding, LabelMap, Level, likely_fix, shown

from .pair_check import PairReport


@dataclass
class MaskStatistics:
    """Sums over the pairs seen so far; ``pixels`` and ``masks`` count where each label occurs."""

    num_classes: int
    ignore_label: int
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    masks: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    first: dict[int, str] = field(default_factory=dict)  # the first mask of each label
    mapped: Counter[int] = field(default_factory=Counter)  # masks with each value before the map
    num_masks: int = 0
    wrong: int = 0  # masks with a value that is neither a class nor the ignored label
    ignored: list[str] = field(default_factory=list)  # masks of nothing but the ignored label
    modes: dict[str, list[str]] = field(default_factory=dict)  # the masks of Pillow's modes
    sizes: list[tuple[int, int]] = field(default_factory=list)  # (height, width) of the images

    def add(self, report: PairReport) -> None:
        """Count one image and its mask."""
        if report.image_size is not None:
            self.sizes.append(report.image_size)
        if report.pixels is None:
            return
        values = np.flatnonzero(report.pixels).tolist()
        self.num_masks += 1
        self.mapped.update(report.mapped_values)
        self.modes.setdefault(report.mask_mode, []).append(report.mask_file)
        self.pixels += report.pixels
        self.masks[values] += 1
        for value in values:
            self.first.setdefault(value, report.mask_file)
        self.wrong += any(map(self.is_outside, values))
        if values == [self.ignore_label]:
            self.ignored.append(report.mask_file)

    def is_outside(self, value: int) -> bool:
        """Return True if no mask may hold the value."""
        return value >= self.num_classes and value != self.ignore_label

    @property
    def values(self) -> list[int]:
        """All labels that occur, ascending."""
        return np.flatnonzero(self.pixels).tolist()

    def size_summary(self) -> dict:
        """Return the smallest, median and largest height and width; {} without images."""
        if not self.sizes:
            return {}
        sizes = np.sort(self.sizes, axis=0)
        places = {"min": 0, "median": (len(sizes) - 1) // 2, "max": -1}
        summary = {name: sizes[place].tolist() for name, place in places.items()}
        return {**summary, "distinct": len(set(self.sizes))}


def label_findings(
    statistics: MaskStatistics, class_names: Sequence[str], format_fix: str, is_complete: bool
) -> list[Finding]:
    """Return findings on labels, from sums over the masks that could be read.

    ``format_fix`` is what the masks' format needs, or ""; ``is_complete`` if every mask was read.
    """
    if not statistics.num_masks or not class_names:
        return []
    out_of_range = _out_of_range(statistics, format_fix)
    findings = [*out_of_range, *_ignored(statistics), *_modes(statistics)]
    if out_of_range:
        return findings  # Which classes occur is not known before the labels are right.
    known = [value for value in statistics.values if value < len(class_names)]
    absent = [f"{name} ({i})" for i, name in enumerate(class_names) if i not in known]
    if len(known) == 1 and statistics.values != [0, 255]:
        file = statistics.first[known[0]]
        message = (
            f"class {class_names[known[0]]} (label {known[0]}) is the only one that occurs in "
            f"{statistics.num_masks} masks, e.g. {file}; are these the right masks?"
        )
        findings.append(Finding.warning("one class only", message, file=file))
    elif is_complete and len(known) > 1 and absent:
        message = (
            f"{len(absent)} of {len(class_names)} classes occur in no mask: {shown(absent, 8)}; "
            "nothing can be learned or measured of them"
        )
        findings.append(Finding.warning("absent classes", message))
    return findings


def map_findings(
    statistics: MaskStatistics, label_map: LabelMap, class_names: Sequence[str], is_complete: bool
) -> list[Finding]:
    """Return which values of the masks were met and mapped, and which of the map were not."""
    names = [*class_names, *[""] * 256]
    names[statistics.ignore_label] = "ignored"
    met = [f"{value} -> {names[label_map.labels[value]]}" for value in sorted(statistics.mapped)]
    message = f"{label_map.source} map the values that were met: {shown(met, 30)}"
    absent = [value for value in label_map.labels if value not in statistics.mapped]
    if is_complete and absent:
        message += f"; in no mask: {shown(absent, 30)}"
    return [Finding(Level.INFO, LABEL_MAP, message, statistics.num_masks)]


def _out_of_range(statistics: MaskStatistics, format_fix: str) -> list[Finding]:
    values = list(filter(statistics.is_outside, statistics.values))
    if not values:
        return []
    count, num_classes, ignore = statistics.wrong, statistics.num_classes, statistics.ignore_label
    value = values[-1] if values[-1] != 255 or len(values) == 1 else values[-2]
    fix = format_fix or likely_fix(values, num_classes, ignore)
    if not format_fix and values == [num_classes] and not statistics.pixels[0]:
        fix = f"labels run from 1 to {num_classes}: register them with REDUCE_ZERO_LABEL True"
    file = statistics.first[value]
    message = (
        f"value {value} ≥ {num_classes} in {file}; in {count} of {statistics.num_masks} masks "
        f"({100 * count / statistics.num_masks:.0f} %) some of {shown(values, 6)}, where "
        f"0..{num_classes - 1} and {ignore} (ignored) are allowed: {fix}"
    )
    return [Finding.error("label out of range", message, count, file)]


def _ignored(statistics: MaskStatistics) -> list[Finding]:
    total, ignore, count = statistics.num_masks, statistics.ignore_label, len(statistics.ignored)
    if statistics.values == [0, 255] and ignore == 255:
        file = statistics.first[255]
        message = (
            f"masks hold 0 and 255 only, e.g. {file}; 255 is ignored: if it is foreground, store "
            "it as 1"
        )
        return [Finding.warning("only 0 and 255", message, file=file)]
    if not count:
        return []
    file = statistics.ignored[0]
    if count == total:
        message = f"all {total} masks are 100 % ignore ({ignore}), e.g. {file}: no label to learn"
        return [Finding.error("all ignored", message, total, file)]
    share = "" if count == 1 else f"{count} of {total} masks, e.g. "
    message = f"{share}{file} is 100 % ignore ({ignore}); leave it out, or label it"
    return [Finding.warning("all ignored", message, count, file)]


def _modes(statistics: MaskStatistics) -> list[Finding]:
    findings = []
    for mode, files in statistics.modes.items():
        if mode == "P":
            says = "palette masks: the indices are read as labels, not the colours"
        elif mode.startswith("I"):  # "I;16" too.
            how = "are mapped" if statistics.mapped else "fit into 8 bits are read as they are"
            says = f"masks of mode {mode} whose values {how}"
        else:
            continue
        message = f"{len(files)} of {statistics.num_masks} {says}, e.g. {files[0]}"
        findings.append(Finding(Level.INFO, f"mask mode {mode}", message, len(files), files[0]))
    return findings
