"""Predict label maps with an exported file: onnxruntime, NumPy and Pillow suffice.

    python predict_onnx.py model.onnx image.jpg [image.jpg ...]

Writes image_labels.png, whose values are labels and whose palette are the classes' colours, into
the working directory, and prints the share of each class.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def main(model_file: str, *image_files: str) -> None:
    """Load the model, predict each image."""
    session = onnxruntime.InferenceSession(model_file, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    classes, colors, min_size, max_size = (
        json.loads(metadata[key]) for key in ("classes", "colors", "min_size_test", "max_size_test")
    )
    for path in map(Path, image_files):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        scale = min(min_size / min(image.size), max_size / max(image.size)) if min_size else 1
        size = [max(1, round(side * scale)) for side in image.size]  # as in its evaluation
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        (labels,) = session.run(None, {"images": np.ascontiguousarray(pixels)[None]})
        if metadata["output"] == "logits":
            labels = labels.argmax(1)
        picture = Image.fromarray(labels[0].astype(np.uint8)).resize(
            image.size, Image.Resampling.NEAREST
        )
        picture.putpalette([value for color in colors for value in color])
        picture.save(f"{path.stem}_labels.png")
        counts = np.bincount(np.asarray(picture).ravel(), minlength=len(classes))
        for label in counts.argsort()[::-1][: np.count_nonzero(counts)]:
            print(f"{path.name}: {classes[label]} {counts[label] / counts.sum():.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
