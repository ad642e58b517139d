"""Small exports of annotation tools, in their formats, and the label maps that they mean.

All of them have an 8 x 10 image per name with a cat, an L of rows 1-5 and columns 2-4 with a foot
to column 7, and a dog of rows 3-6 and columns 6-8, which covers the end of the foot. The corners
are whole numbers, so that no pixel is half inside.
"""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pycocotools.mask as rle_masks
from PIL import Image

from tests.data.image_files import gradient, write_png

SIZE = HEIGHT, WIDTH = 8, 10
CAT = [2, 1, 5, 1, 5, 4, 8, 4, 8, 6, 2, 6]
DOG = [6, 3, 9, 3, 9, 7, 6, 7]
PALETTE = [(0, 0, 0), (10, 20, 30), (40, 50, 60)]


def cat_mask():
    mask = np.zeros(SIZE, bool)
    mask[1:6, 2:5] = True
    mask[4:6, 5:8] = True
    return mask


def dog_mask():
    mask = np.zeros(SIZE, bool)
    mask[3:7, 6:9] = True
    return mask


def cat_and_dog(cat=1, dog=2, background=0):
    """The label map with the dog on top of the cat."""
    labels = np.full(SIZE, background, np.uint8)
    labels[cat_mask()] = cat
    labels[dog_mask()] = dog
    return labels


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gradient(*size)).save(path)


def pairs(flat):
    return [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]


def runs(mask):
    """Uncompressed run lengths, column by column, counted pixel by pixel."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def compressed(mask):
    """Compressed run lengths of COCO, by its own library."""
    return rle_masks.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def png_base64(mask, mode="L", deflate=False):
    """A picture in base64: grey as LabelMe's, or with a transparent palette as Supervisely's."""
    image = Image.fromarray(mask.astype(np.uint8))
    options = {}
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 255, 255])
        options = {"transparency": 0}
    content = io.BytesIO()
    image.save(content, "PNG", **options)
    data = zlib.compress(content.getvalue()) if deflate else content.getvalue()
    return base64.b64encode(data).decode()


def coco(names=("a",), annotations=None):
    """COCO's content; the ids of the categories have gaps and are not in order."""
    if annotations is None:
        annotations = [
            {"image_id": image, "category_id": category, "segmentation": [polygon], "iscrowd": 0}
            for image, _ in enumerate(names)
            for category, polygon in ((3, CAT), (9, DOG))
        ]
    return {
        "images": [
            {"id": i, "file_name": f"{name}.png", "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(names)
        ],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations)],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def write_coco(root: Path, names=("a",), content=None):
    for name in names:
        write_image(root / f"images/{name}.png")
    return write_json(root / "coco.json", coco(names) if content is None else content)


def labelme_shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, **more}


def write_labelme(root: Path, names=("a",), shapes=None, **more):
    if shapes is None:
        shapes = [labelme_shape("cat", pairs(CAT)), labelme_shape("dog", pairs(DOG))]
    for name in names:
        write_image(root / f"labelme/{name}.png")
        content = {
            "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"{name}.png",
            "imageData": "not even base64", "imageHeight": HEIGHT, "imageWidth": WIDTH,
        }  # fmt: skip
        write_json(root / f"labelme/{name}.json", content | more)
    return root / "labelme"


def write_supervisely(root: Path, names=("a",), objects=None):
    if objects is None:
        polygon = {"exterior": pairs(CAT), "interior": []}
        bitmap = {"data": png_base64(np.ones((4, 3)), "P", deflate=True), "origin": [6, 3]}
        objects = [
            {"classTitle": "cat", "geometryType": "polygon", "points": polygon},
            {"classTitle": "dog", "geometryType": "bitmap", "bitmap": bitmap},
        ]
    classes = [{"title": title, "color": "#0A141E"} for title in ("cat", "dog")]
    write_json(root / "sly/meta.json", {"classes": classes, "tags": []})
    for name in names:
        write_image(root / f"sly/ds/img/{name}.png")
        content = {"size": {"height": HEIGHT, "width": WIDTH}, "tags": [], "objects": objects}
        write_json(root / f"sly/ds/ann/{name}.png.json", content)
    return root / "sly"


def write_datumaro(root: Path, names=("a",), annotations=None):
    if annotations is None:
        rle = {"counts": compressed(dog_mask()), "size": list(SIZE)}
        annotations = [
            {"id": 0, "type": "mask", "label_id": 1, "z_order": 1, "rle": rle},
            {"id": 1, "type": "polygon", "label_id": 0, "z_order": 0, "points": CAT},
            {"id": 2, "type": "label", "label_id": 0},
        ]
    for name in names:
        write_image(root / f"images/{name}.png")
    items = [
        {"id": n, "annotations": annotations, "image": {"path": f"{n}.png", "size": list(SIZE)}}
        for n in names
    ]
    labels = [{"name": "cat", "parent": ""}, {"name": "dog", "parent": ""}]
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": items}
    return write_json(root / "annotations/train.json", content)


def write_colors(root: Path, names=("a",), kind="RGB"):
    colors = np.array(PALETTE, np.uint8)
    for name in names:
        write_image(root / f"images/{name}.png")
        path = root / f"colors/{name}.png"
        if kind == "P":  # Index i does not mean label i.
            image = Image.fromarray(2 - cat_and_dog())
            image.putpalette(colors[::-1].ravel().tolist())
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        else:
            write_png(path, colors[cat_and_dog()])
    lines = ["# label:color_rgb:parts:actions"]
    lines += [
        f"{n}:{r},{g},{b}::"
        for n, (r, g, b) in zip(("background", "cat", "dog"), PALETTE, strict=True)
    ]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    return root / "colors"


def write_voc(root: Path, names=("a",)):
    """Cats (8) and dogs (12) in VOC's palette, whose colours are listed here, and a border."""
    labels = cat_and_dog(8, 12)
    labels[0] = 255
    palette = [0] * 768
    palette[3 * 8 : 3 * 9], palette[3 * 12 : 3 * 13] = (64, 0, 0), (64, 0, 128)
    palette[3 * 255 :] = (224, 224, 192)
    for name in names:
        write_image(root / f"VOC2012/JPEGImages/{name}.jpg")
        image = Image.fromarray(labels)
        image.putpalette(palette)
        path = root / f"VOC2012/SegmentationClass/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    listing = root / "VOC2012/ImageSets/Segmentation/train.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text(f"{names[0]}\n")
    return root / "VOC2012"


def write_ade20k(root: Path, names=("a",)):
    """Cats are object 401 and dogs 2855; blue is the number of the instance."""
    indices = cat_and_dog(1, 2).astype(int)
    indices = np.array([0, 401, 2855])[indices]
    seg = np.stack([indices // 256 * 10, indices % 256, np.full(SIZE, 7)], -1).astype(np.uint8)
    found = [
        {"name": "dog, domestic dog", "name_ndx": 2855, "parts": {"part_level": 0}},
        {"name": "cat", "name_ndx": 401, "parts": {"part_level": 0}},
        {"name": "tail", "name_ndx": 77, "parts": {"part_level": 1}},
    ]
    for name in names:
        write_image(root / f"ade/street/{name}.jpg")
        write_png(root / f"ade/street/{name}_seg.png", seg)
        write_png(root / f"ade/street/{name}_parts_1.png", seg * 0)
        write_json(root / f"ade/street/{name}.json", {"annotation": {"object": found}})
    return root / "ade"
