"""examples/quick_start.ipynb runs from the first cell to the last."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples/quick_start.ipynb"


def test_notebook_trains_predicts_and_shows_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    settings = next(cell for cell in notebook.cells if "ITERATIONS = 400" in cell.source)
    for wanted, less in (
        ("ITERATIONS = 400", "ITERATIONS = 2"),
        ("TRAIN_SCENES, VAL_SCENES = 800, 100", "TRAIN_SCENES, VAL_SCENES = 16, 1"),
        ('Path("output/notebook")', f'Path("{tmp_path}")'),
    ):
        assert wanted in settings.source
        settings.source = settings.source.replace(wanted, less)

    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert "mIoU " in printed
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert (tmp_path / "run/model_final.pth").is_file()
