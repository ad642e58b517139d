"""The runner of ablations trains two rows on tiny scenes, tabulates and keeps them."""

import json
import re

import pytest

from research.marked_section import replace_section
from research.run_ablations import SECTION, main
from tests.tiny_datasets import write_tiny_scenes
from tests.tools.conftest import ROOT

BASE = f"""
_BASE_: "{ROOT}/configs/base/vt_resnet_scenes.yaml"
MODEL:
  VT_RESNET: {{NUM_TOKENS: 4, TOKEN_CHANNELS: 64, OUT_CHANNELS: 32, POSITIONAL_ENCODING: False}}
  SEM_SEG_HEAD: {{CONVS_DIM: 32}}
INPUT: {{MIN_SIZE_TRAIN: [64], MIN_SIZE_TEST: 64}}
SOLVER: {{IMS_PER_BATCH: 2}}
DATALOADER: {{NUM_WORKERS: 0}}
"""
ROW = '_BASE_: "small_base.yaml"\nMODEL: {VT_RESNET: {MIXER: "none"}}\n'
DOCUMENT = """# Mine

Written by hand.

<!-- research/run_ablations.py: begin -->
what was here before
<!-- research/run_ablations.py: end -->

By hand too.
"""


@pytest.fixture
def run(monkeypatch, tmp_path, out, capsys):
    """Return a function that runs the script in this process and returns what it printed."""
    (tmp_path / "small_base.yaml").write_text(BASE)
    (tmp_path / "no_mixer.yaml").write_text(ROW)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    common = ["--configs", tmp_path / "no_mixer.yaml", "--seeds", 3, "--output", out]
    common += ["--table", tmp_path / "table.md", "--threads", 1]

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["run_ablations.py", *map(str, (*common, *arguments))])
        main()
        return capsys.readouterr().out

    return call


def scores(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [line["sem_seg/mIoU"] for line in lines if "sem_seg/mIoU" in line]


def test_two_rows_from_training_to_table(run, tmp_path, out):
    write_tiny_scenes(tmp_path / "datasets")
    document = tmp_path / "table.md"

    document.write_text("no marks")
    with pytest.raises(
        SystemExit, match=r"error: .*table.md: the document needs a line <!-- research/run_a"
    ):
        run("--iterations", 2)
    assert not out.exists()

    document.write_text(DOCUMENT)
    printed = run("--iterations", 2)
    (base,), (row,) = scores(out / "small_base_seed3"), scores(out / "no_mixer_seed3")
    text = document.read_text()
    assert text.startswith("# Mine\n\nWritten by hand.\n\n<!--")
    assert text.endswith("By hand too.\n")
    assert "before" not in text
    assert f"Filled {document}." in printed
    table = text.split("begin -->\n")[1].split("\n<!--")[0]
    rows = [re.split(r" *\| *", line) for line in table.splitlines() if line.startswith("| ")]
    assert rows[1][1:4] == ["small_base", "**base**", f"{base:.2f}"]
    assert rows[2][1:5] == ["no_mixer", "MIXER none", f"{row:.2f}", f"{row - base:+.2f}"]
    assert "2 iterations of 2 images at 64x64; seeds 3;" in table
    assert "--threads 1 --iterations 2`." in table

    # Again: both are kept, and the table is the same.
    before = (out / "no_mixer_seed3" / "stdout.txt").read_text()
    assert "6 iterations" not in before
    assert "2 iterations (WarmupCosineLR, warm-up 0)" in before
    run("--iterations", 2)
    assert (out / "no_mixer_seed3" / "stdout.txt").read_text() == before
    assert document.read_text() == text

    # Another budget in the same folder is refused.
    with pytest.raises(SystemExit, match=r"has a run of other settings: SOLVER.MAX_ITER was 2 and"):
        run("--iterations", 3)
    assert document.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rows", "v4_t*", "nothing"), "error: --rows nothing: no such row; there are control_"),
        (("--configs", "missing.yaml"), "error: no such file: missing.yaml"),
        (("--iterations", 0), "0 iterations: at least 1 is needed"),
    ],
)
def test_unknown_rows_and_budgets_are_refused(monkeypatch, tmp_path, arguments, message):
    table = ["--table", str(tmp_path / "table.md"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["run_ablations.py", *table, *map(str, arguments)])
    with pytest.raises(SystemExit) as error:
        main()
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "table.md").exists()


def test_committed_document_has_the_section():
    document = (ROOT / "docs" / "ablations.md").read_text()
    assert "A sentence." in replace_section(document, SECTION, "A sentence.")
