"""Detectron2's figures on valid data; where its figures are wrong, the right ones or a refusal."""

import logging

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from PIL import Image
from torch.nn.functional import one_hot

import vt_seg
from tests.tiny_datasets import write_coco, write_lip, write_tiny_scenes
from vt_seg.data import mask_loader, read_mask
from vt_seg.evaluation import SegmentationEvaluator


@pytest.fixture(autouse=True)
def _quiet():
    """Detectron2 logs its results and warns of its limits, here two hundred times."""
    logger = logging.getLogger("detectron2.evaluation.sem_seg_evaluation")
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(logging.NOTSET)


def scores_of(predicted: np.ndarray, num_classes: int) -> torch.Tensor:
    """Scores ``(C, H, W)`` whose highest class is ``predicted``."""
    return one_hot(torch.from_numpy(predicted).long(), num_classes).permute(2, 0, 1).float()


def run(evaluator, records, outputs):
    evaluator.reset()
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([record], [{"sem_seg": output}])
    return evaluator.evaluate()["sem_seg"]


def detectron2(name, records, outputs, **arguments):
    return run(SemSegEvaluator(name, distributed=False, **arguments), records, outputs)


def ours(name, records, outputs, **arguments):
    return run(SegmentationEvaluator(name, distributed=False, **arguments), records, outputs)


@pytest.mark.parametrize("seed", range(200))
def test_equal_on_valid_data(register, seed):
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 255)) if seed % 2 else int(rng.integers(2, 6))
    # Some classes never occur, some are predicted only, some pixels are ignored.
    occurring = int(rng.integers(1, num_classes + 1))
    masks, outputs, maps = [], [], []
    for _ in range(int(rng.integers(1, 4))):
        size = tuple(rng.integers(1, 50, 2))
        mask = rng.integers(0, occurring, size)
        mask[rng.random(size) < rng.choice([0, 0.3, 0.9])] = 255
        mask[0, 0] = 0
        logits = torch.from_numpy(rng.normal(size=(num_classes, *size)).astype(np.float32))
        logits += 3 * scores_of(np.where(mask == 255, 0, mask), num_classes) * float(rng.random())
        masks.append(mask)
        outputs.append(logits)
        maps.append(logits.argmax(dim=0))
    name, records = register(masks, num_classes)
    expected = detectron2(name, records, outputs)
    for given in (outputs, maps):
        scores = ours(name, records, given)
        compared = {key for key in expected if "B-Iou" not in key and "Boundary" not in key}
        assert scores.keys() == compared | {"classes-in-mean"}
        for key in compared:
            assert scores[key] == pytest.approx(expected[key], abs=1e-9, nan_ok=True), key


def test_a_label_out_of_range(register):
    """Label 4 of four classes lands, for Detectron2, in the column of the ignored pixels."""
    mask = np.repeat([[0, 1, 2, 4]], 4, axis=0)
    perfect_elsewhere = scores_of(np.repeat([[0, 1, 2, 3]], 4, axis=0), 4)
    name, records = register([mask], 4)
    assert detectron2(name, records, [perfect_elsewhere])["mIoU"] == 100
    file = records[0]["sem_seg_file_name"]
    with pytest.raises(ValueError, match=rf"{file} holds label 4 \(25.0 % of its pixels\)"):
        ours(name, records, [perfect_elsewhere])
    # A loader that does not check changes nothing.
    with pytest.raises(ValueError, match="holds label 4"):
        ours(name, records, [perfect_elsewhere], sem_seg_loading_fn=read_unchecked)


def test_a_label_further_out_of_range(register):
    """A prediction that is right wherever the label is valid scores 75: label 5 becomes class 0."""
    mask = np.repeat([[0, 1, 2, 5]], 4, axis=0)
    right = scores_of(np.repeat([[0, 1, 2, 2]], 4, axis=0), 4)
    name, records = register([mask], 4)
    assert detectron2(name, records, [right])["pACC"] == 75
    with pytest.raises(ValueError, match="holds label 5"):
        ours(name, records, [right])


def test_a_label_far_out_of_range(register):
    mask = np.repeat([[0, 1, 2, 200]], 4, axis=0)
    predicted = scores_of(np.repeat([[0, 1, 2, 3]], 4, axis=0), 4)
    name, records = register([mask], 4)
    with pytest.raises(ValueError, match="cannot reshape array"):
        detectron2(name, records, [predicted])
    with pytest.raises(ValueError, match="holds label 200"):
        ours(name, records, [predicted])


def test_a_negative_label(register):
    name, records = register([np.zeros((2, 2))], 4)

    def load(filename, dtype=None):
        return np.array([[0, 0], [0, -1]], dtype)

    with pytest.raises(ValueError, match=r"_0\.png holds label -1: labels start at 0"):
        ours(name, records, [torch.zeros(2, 2).int()], sem_seg_loading_fn=load)


def test_a_prediction_of_too_many_channels(register):
    """Class 4 of four, predicted: Detectron2's matrix has room for it in the row it leaves out."""
    mask = np.repeat([[0, 1, 2, 3]], 4, axis=0)
    wrong = scores_of(np.repeat([[0, 1, 2, 4]], 4, axis=0), 5)
    name, records = register([mask], 4)
    assert detectron2(name, records, [wrong])["IoU-c2"] == 100
    with pytest.raises(ValueError, match=r"image_0\.jpg of .*the model scores 5 classes"):
        ours(name, records, [wrong])


def test_transposed_truth_with_as_many_pixels(register):
    mask = np.repeat([[0, 1]], 4, axis=0).repeat(3, axis=1)  # 4 x 6
    name, records = register([mask], 2)
    transposed = scores_of(mask.T.copy(), 2)
    assert detectron2(name, records, [transposed])["pACC"] < 100  # scored, not refused
    file = records[0]["sem_seg_file_name"]
    with pytest.raises(ValueError, match=rf"{file} is 4 x 6 pixels, .*image_0\.jpg 6 x 4 "):
        ours(name, records, [transposed])


def test_another_size(register):
    name, records = register([np.zeros((4, 6))], 2)
    for predicted in (np.zeros((4, 5), int), np.zeros((8, 3), int)):
        with pytest.raises(
            ValueError, match=r"_0\.png is 4 x 6 pixels, the prediction for image_0"
        ):
            ours(name, records, [scores_of(predicted, 2)])


def test_all_ignored(register):
    name, records = register([np.full((4, 4), 255)], 3)
    output = [scores_of(np.zeros((4, 4), int), 3)]
    with np.errstate(all="ignore"):
        assert np.isnan(detectron2(name, records, output)["mIoU"])
    with pytest.raises(ValueError, match=r"all pixels of all 1 masks have the ignore label 255"):
        ours(name, records, output)
    with pytest.raises(ValueError, match="no image was evaluated"):
        ours(name, [], [])


def test_the_mean_over_all_classes(register):
    """LIP's scripts divide by 20, whatever occurs."""
    mask = np.repeat([[0, 1]], 4, axis=0)
    name, records = register([mask], 20)
    perfect = [scores_of(mask, 20)]
    assert detectron2(name, records, perfect)["mIoU"] == 100
    assert ours(name, records, perfect)["mIoU"] == 100
    scores = ours(name, records, perfect, mean_over="all")
    assert scores["mIoU"] == scores["mACC"] == 10
    with pytest.raises(ValueError, match='TEST.SEM_SEG.MEAN_OVER is "some"'):
        SegmentationEvaluator(name, mean_over="some")


def test_boundary_iou_does_not_depend_on_the_numbering_of_classes(register):
    """Detectron2 erodes the label map: beyond two classes the same picture scores differently."""
    truth = np.zeros((90, 120), int)
    truth[:, 40:80], truth[:, 80:] = 1, 2
    predicted = np.roll(truth, 2, axis=1)
    predicted[:, :2] = 0
    found = {}
    for order in ([0, 1, 2], [2, 0, 1]):
        renumber = np.array(order)
        name, records = register([renumber[truth]], 3)
        output = [scores_of(renumber[predicted], 3)]
        found[tuple(order)] = [
            [scores[f"BoundaryIoU-c{renumber[c]}"] for c in range(3)]
            for scores in (
                detectron2(name, records, output),
                ours(name, records, output, boundary_iou=True),
            )
        ]
    (theirs, right), (theirs_renumbered, right_renumbered) = found.values()
    assert not np.allclose(theirs, theirs_renumbered)
    assert right == right_renumbered
    # Boundaries are 3 wide (2 % of 150). In the middle stripe of 40 x 90 pixels the prediction is
    # moved by two: the frames 3 wide share two long edges of one column each, and two short edges.
    frame = 40 * 90 - 34 * 84
    common = 2 * 90 * 1 + 2 * 3 * (38 - 2)
    assert right[1] == pytest.approx(100 * common / (2 * frame - common))


def test_palette_masks_are_indices_for_both(register):
    mask = np.repeat([[0, 1, 2, 2]], 4, axis=0).astype(np.uint8)
    name, records = register([mask], 3)
    picture = Image.fromarray(mask, mode="P")
    picture.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    picture.save(records[0]["sem_seg_file_name"])
    assert cv2.imread(records[0]["sem_seg_file_name"], cv2.IMREAD_GRAYSCALE).max() > 2
    assert ours(name, records, [scores_of(mask, 3)])["mIoU"] == 100
    loaders = {"sem_seg_loading_fn": mask_loader(3)}
    assert detectron2(name, records, [scores_of(mask, 3)], **loaders)["mIoU"] == 100


def test_colour_masks_are_refused(register):
    name, records = register([np.zeros((4, 4))], 3)
    Image.new("RGB", (4, 4)).save(records[0]["sem_seg_file_name"])
    output = [scores_of(np.zeros((4, 4), int), 3)]
    with pytest.raises(ValueError):
        detectron2(name, records, output)
    with pytest.raises(ValueError, match=r"_0\.png is a mask of mode RGB, need one channel"):
        ours(name, records, output)
    with pytest.raises(ValueError, match=r"_0\.png is 4 x 4 x 3 pixels"):
        ours(name, records, output, sem_seg_loading_fn=read_unchecked)


def read_unchecked(filename, dtype=None):
    with Image.open(filename) as image:
        return np.asarray(image, dtype=dtype)


def test_detectron2s_results_file_needs_trust_and_ours_does_not(register, tmp_path):
    mask = np.repeat([[0, 1]], 4, axis=0)
    name, records = register([mask], 2)
    output = [scores_of(mask, 2)]
    detectron2(name, records, output, output_dir=str(tmp_path / "theirs"))
    scores = ours(name, records, output, output_dir=str(tmp_path / "ours"))
    with pytest.raises(Exception, match="weights_only"):
        torch.load(tmp_path / "theirs" / "sem_seg_evaluation.pth")
    assert torch.load(tmp_path / "ours" / "sem_seg_evaluation.pth") == scores


def test_run_lengths_only_where_asked_and_then_detectron2s(register, tmp_path):
    mask = np.repeat([[0, 1, 1, 2]], 4, axis=0)
    name, records = register([mask], 3, stuff_dataset_id_to_contiguous_id={92: 0, 93: 1, 95: 2})
    output = [scores_of(mask, 3)]
    file = "sem_seg_predictions.json"
    detectron2(name, records, output, output_dir=str(tmp_path / "theirs"))
    ours(name, records, output, output_dir=str(tmp_path / "plain"))
    asked = {"output_dir": str(tmp_path / "asked"), "predictions_json": True}
    ours(name, records, output, **asked)
    assert not (tmp_path / "plain" / file).exists()
    text = (tmp_path / "asked" / file).read_text()
    assert '"category_id": 95' in text
    assert text == (tmp_path / "theirs" / file).read_text()


def test_detectron2s_evaluator_takes_all_our_datasets(tmp_path):
    write_tiny_scenes(tmp_path)
    write_lip(tmp_path)
    for suffix, last in (("", 170), ("_stuff91", 90)):
        masks = f"stuffthingmaps_detectron2{suffix}/{{split}}2017"
        write_coco(tmp_path, masks, [0, 7, 50, last])
    vt_seg.register_all_datasets(str(tmp_path))
    try:
        coco = [f"vt_coco_2017_val_{kind}" for kind in ("stuff171", "stuff91")]
        for name in ("vt_scenes_val", "vt_lip_val", *coco):
            records = DatasetCatalog.get(name)[:2]
            count = len(MetadataCatalog.get(name).stuff_classes)
            truths = [read_mask(record["sem_seg_file_name"]) for record in records]
            outputs = [scores_of(np.where(truth == 255, 3, truth), count) for truth in truths]
            assert detectron2(name, records, outputs)["mIoU"] == pytest.approx(100)
            assert ours(name, records, outputs)["mIoU"] == pytest.approx(100)
    finally:
        vt_seg.register_all_datasets()
