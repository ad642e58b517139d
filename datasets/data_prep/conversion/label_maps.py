"""Tables from the pixel values of distributed masks to train ids.

Only values of the format are mapped; any other value is an error.
"""

from vt_seg.data import LabelMap
from vt_seg.data.datasets import COCO_STUFF_LABELS, IGNORE_LABEL, LIP_LABELS

THINGS_92 = 91
"""Label of things among the 92 classes, after the 91 of stuff."""

_CONVERTED = (
    "If these masks contain train ids already (0..170), they need no conversion to 171 classes; "
    "for 91 classes use --from train-ids"
)


def stuffthingmaps(classes: int) -> LabelMap:
    """Return the map of format A: id - 1 to 171, 91 or 92 classes.

    The format lacks the eleven ids that were never annotated: masks that contain them have another
    format and are most likely converted already.
    """
    labels = {
        row.png_value: _coco_stuff_label(row.index171, row.index91, classes)
        for row in COCO_STUFF_LABELS
        if not row.removed
    }
    labels[255] = IGNORE_LABEL
    source = "stuffthingmaps (0-181 without the 11 ids never annotated, 255)"
    return LabelMap(source, labels, _CONVERTED)


def pixelmaps(classes: int) -> LabelMap:
    """Return the map of format B: 0 unlabelled, 92-182 stuff, 183 other to 91 or 92 classes."""
    if classes == 171:
        raise ValueError("pixelmaps have no things: they give 91 or 92 classes, not 171")
    labels = {row.id: row.index91 for row in COCO_STUFF_LABELS if not row.is_thing}
    labels[0] = IGNORE_LABEL
    labels[183] = _coco_stuff_label(None, None, classes)
    return LabelMap(
        "COCO's stuff pixelmaps (0, 92-183)",
        labels,
        "Masks with values 0..181 and 255 are stuffthingmaps: use --from stuffthingmaps",
    )


def train_ids(classes: int) -> LabelMap:
    """Return the map of formats E and F: 0-170 to 171, 91 or 92 classes."""
    labels = {
        row.index171: _coco_stuff_label(row.index171, row.index91, classes)
        for row in COCO_STUFF_LABELS
        if not row.removed
    }
    labels[255] = IGNORE_LABEL
    return LabelMap(
        "masks of 171 train ids (0-170, 255)",
        labels,
        "Masks with values up to 181 are stuffthingmaps: use --from stuffthingmaps",
    )


def cocostuff10k_v10() -> LabelMap:
    """Return the map of format G: 1 unlabelled, 2-172 to 171 classes."""
    labels = {value: value - 2 for value in range(2, 173)}
    labels[1] = IGNORE_LABEL
    return LabelMap("COCO-Stuff 10k v1.0 labels (1-172)", labels, _FETCH_10K)


def cocostuff10k_v11() -> LabelMap:
    """Return the map of format H: 0 unlabelled, 1-182 without unused ids to 171 classes."""
    labels = {row.id: row.index171 for row in COCO_STUFF_LABELS if not row.removed}
    labels[0] = IGNORE_LABEL
    source = "COCO-Stuff 10k v1.1 labels (0-182 without the 11 ids never annotated)"
    return LabelMap(source, labels, _FETCH_10K)


_FETCH_10K = "Download the file again: these are not the distributed labels"


def panoptic_labels() -> dict[int, int]:
    """Return the label of each COCO panoptic category id: things 0, stuff 1-53 by ascending id.

    The table is Detectron2's, as for ``coco_2017_train_panoptic_stuffonly``.
    """
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

    stuff = [c["id"] for c in COCO_CATEGORIES if not c["isthing"]]
    labels = {c["id"]: 0 for c in COCO_CATEGORIES if c["isthing"]}
    return labels | {category: index for index, category in enumerate(stuff, start=1)}


def panoptic_semseg() -> LabelMap:
    """Return the map of format D: index among COCO panoptic's 133 categories to 54 classes."""
    labels = dict(enumerate(panoptic_labels().values()))
    labels[255] = IGNORE_LABEL
    return LabelMap(
        "panoptic semseg masks (0-132, 255)",
        labels,
        "stuffthingmaps cannot give the 54 classes; make them from the panoptic PNG and JSON",
    )


def lip() -> LabelMap:
    """Return the map of LIP: 0-19, checked and kept."""
    labels = {value: value for value in range(len(LIP_LABELS))}
    labels[255] = IGNORE_LABEL
    return LabelMap("LIP's masks (0-19, 255)", labels, "Extract the file again from LIP's archive")


def _coco_stuff_label(index171: int | None, index91: int | None, classes: int) -> int:
    """Return the label among 171, 91 or 92 classes; (None, None) stands for any thing."""
    if classes not in (171, 91, 92):
        raise ValueError(f"there is no label space of {classes} classes; use 171, 91 or 92")
    if classes == 171:
        return index171
    if index91 is not None:
        return index91
    return IGNORE_LABEL if classes == 91 else THINGS_92
