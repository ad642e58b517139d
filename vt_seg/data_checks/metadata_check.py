"""Checks what a dataset's metadata must hold before a model can be trained or evaluated on it."""

from difflib import get_close_matches

from detectron2.data import DatasetCatalog, MetadataCatalog

from vt_seg.data import Finding, class_findings, color_findings, error, flip_pair_findings


def metadata_findings(name: str) -> list[Finding]:
    """Return what is wrong with the metadata of a registered semantic segmentation dataset.

    Raises:
        KeyError: if no dataset of this name is registered.
    """
    if name not in DatasetCatalog.list():
        raise KeyError(unregistered(name))
    metadata = MetadataCatalog.get(name)
    setter = f'MetadataCatalog.get("{name}").set'
    classes = metadata.get("stuff_classes")
    message = ""
    if metadata.get("evaluator_type") == "classification":
        message = (
            f"{name} holds a folder of images per class and no masks: it is a dataset for "
            "classification (MODEL.META_ARCHITECTURE ImageClassifier)"
        )
    elif classes is None:
        message = f"{name} has no stuff_classes in its metadata: {setter}(stuff_classes=[...])"
    elif metadata.get("ignore_label") is None:
        message = f"{name} has no ignore_label in its metadata: {setter}(ignore_label=255)"
    if message:
        return [error("metadata", message)]
    findings = class_findings(classes, metadata.ignore_label)
    colors = metadata.get("stuff_colors")
    if colors is not None:
        findings += color_findings(colors, len(classes))
    if metadata.get("evaluator_type") is None:
        message = f'no evaluator_type in its metadata: {setter}(evaluator_type="sem_seg")'
        findings.append(error("metadata", message))
    return [error("metadata", f"{name}: {finding.message}") for finding in findings]


def flip_findings(name: str) -> list[Finding]:
    """Return why a horizontal flip would give a registered dataset wrong labels, if it would."""
    metadata = MetadataCatalog.get(name)
    pairs = metadata.get("flip_label_pairs", ())
    findings = flip_pair_findings(metadata.get("stuff_classes", ()), pairs)
    return [finding._replace(message=f"{name}: {finding.message}") for finding in findings]


def unregistered(name: str) -> str:
    """Return the message for a name that no dataset has, with the names nearest to it."""
    near = get_close_matches(name, DatasetCatalog.list(), n=3)
    return (
        f"no dataset is registered as {name}"
        + (f" (near: {', '.join(near)})" if near else "")
        + "; your own are named in DATASETS.CUSTOM ({NAME, IMAGES, MASKS, CLASSES} or {NAME, "
        "IMAGE_FOLDER}) or by vt_seg.data.register_sem_seg and register_image_folder"
    )
