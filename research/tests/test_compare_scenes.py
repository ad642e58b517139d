"""The comparison on vt_scenes rebuilds its tables from finished runs."""

import json
import re

import pytest

from research.compare_scenes import CONFIGS, SECTION, main
from research.marked_section import read_section

DOCUMENT = f"# By hand\n\n<!-- {SECTION}: begin -->\nold\n<!-- {SECTION}: end -->\n\nBy hand too.\n"


@pytest.fixture
def finished_runs(tmp_path):
    """Folders as trainings of 20 iterations leave them, evaluated after 10 and 20."""
    folder = tmp_path / "runs"
    for place, config in enumerate(CONFIGS):
        for seed in (0, 1):
            run = folder / f"{config}_seed{seed}"
            run.mkdir(parents=True)
            (run / "model_final.pth").touch()
            lines = [{"iteration": 19, "total_loss": 1.0}]
            for iteration, scale in ((9, 0.5), (20, 1.0)):
                local, context = scale * (80 + seed), scale * (90 + place + 2 * seed)
                scores = {"mIoU": local + 1, "mIoU-local": local, "mIoU-context": context}
                scores["IoU-lake"] = context
                lines.append(
                    {"iteration": iteration, **{f"sem_seg/{k}": v for k, v in scores.items()}}
                )
            (run / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_tables_are_rebuilt_from_finished_runs_without_training(
    finished_runs, tmp_path, monkeypatch, capsys
):
    before = sorted(finished_runs.rglob("*"))
    table = tmp_path / "scenes.md"
    table.write_text(DOCUMENT)
    arguments = ["--seeds", "0", "1", "--output", str(finished_runs), "--table", str(table)]
    monkeypatch.setattr("sys.argv", ["compare_scenes.py", *arguments])
    main()
    assert sorted(finished_runs.rglob("*")) == before
    text = table.read_text()
    section = read_section(text, SECTION)
    assert text == DOCUMENT.replace("old", section)
    rows = [re.split(r" *\| *", line)[1:-1] for line in section.splitlines()]
    medians = ["81.50 (81.00 to 82.00)", "80.50 (80.00 to 81.00)", "92.00 (91.00 to 93.00)"]
    for row in (
        ["vtfpn_R18_scenes", "1", "82.00", "81.00", "92.00"],
        ["fpn_R18_scenes", "median (range)", *medians],
        ["fpn_R18_scenes", "mean", "81.50", "80.50", "92.00"],
        ["lake", "91.00", "92.00"],
        ["10 iterations", "45.50 (45.00 to 46.00)", "46.00 (45.50 to 46.50)"],
        ["20 iterations", "91.00 (90.00 to 92.00)", "92.00 (91.00 to 93.00)"],
    ):
        assert row in rows
    assert f"`python compare_scenes.py --seeds 0 1 --output {finished_runs}" in section
    assert f"Filled {table}." in capsys.readouterr().out


def test_a_document_without_marks_is_refused_before_training(tmp_path, monkeypatch):
    table, out = tmp_path / "scenes.md", tmp_path / "runs"
    table.write_text("no marks")
    arguments = ["--output", str(out), "--table", str(table)]
    monkeypatch.setattr("sys.argv", ["compare_scenes.py", *arguments])
    with pytest.raises(SystemExit, match=r"error: .*scenes.md: the document needs a line"):
        main()
    assert not out.exists()
    assert table.read_text() == "no marks"
