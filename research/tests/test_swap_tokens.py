"""Evaluation with the tokens of another image."""

import pytest

from research.swap_tokens import OTHER, OWN, swapped_scores
from tests.engine.conftest import scenes_root  # noqa: F401  (a fixture)
from tests.prediction.conftest import overrides, run  # noqa: F401  (fixtures)
from vt_seg.engine import evaluate, load_cfg


@pytest.mark.usefixtures("scenes_root")
def test_own_tokens_have_the_scores_of_the_evaluation(run):  # noqa: F811
    scores = swapped_scores(run)
    cfg = load_cfg(f"{run}/config.yaml", ["MODEL.WEIGHTS", f"{run}/model_final.pth"])
    expected = evaluate(cfg)["sem_seg"]
    assert scores[OWN] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert scores[OTHER].keys() == expected.keys()
    assert scores[OTHER]["pACC"] != scores[OWN]["pACC"]


def test_a_model_that_is_not_optimized_is_refused(run):  # noqa: F811
    with pytest.raises(ValueError, match="only an optimized VTFPNHead"):
        swapped_scores(run, ["TEST.OPTIMIZE", "False"])
