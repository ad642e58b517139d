"""The code blocks of the documents, and how tests run them.

Commands (```sh), Python and YAML are run as they are written, each page in a folder that has what
the page takes for granted. As a script it runs pages in an installation, from which the sources are
not visible: ``python document_walk.py docs/predicting.md ...``.
"""

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
# Run in an installation by test_wheel.py; the first trains what the others need.
INSTALLED = ["docs/command_line.md", "docs/predicting.md", "docs/export.md"]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "datasets/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]

# What cannot run in a test: the beginning of a command or block, and why.
NOT_RUN = {
    "vt-seg export --config-file my_data.yaml --output my_data.onnx --int8": "takes 10 s more; "
    "tests/export/test_export_model.py runs it with the demo's config",
    "make ": "installs, or takes minutes; .github/workflows runs install, lint, test and docs",
    "pip install ": "needs the network",
    "tensorboard ": "serves until it is stopped",
    "export DETECTRON2_DATASETS=": "changes the shell",
    ".venv/bin/python -m ": "runs the tests and ruff",
    'python -c "import torchvision': "needs ImageNet's archives",
    "python research/benchmark_": "takes minutes on idle cores; research/tests runs parts of it",
    "python research/run_ablations.py": "trains for hours; research/tests/test_run_ablations.py",
    "python research/photos/run.py": "trains for hours; research/tests/test_photo_experiment.py",
    "bash research/photos/gpu_hour.sh": "trains for an hour on a GPU",
    "LABEL_MAP: ": "shows alternatives for one key; tests/data/test_custom_datasets.py",
}
# What is replaced in commands: sizes that take long, and processes for which there are no GPUs.
SMALLER = {
    "--num-gpus 8": "",
    "prepare_scenes.py": "prepare_scenes.py --train 8 --val 4 --size 64",
    "prepare_shapes.py": "prepare_shapes.py --train 20 --val 10 --side 32",
}


class Block(NamedTuple):
    """A code block.

    Attributes:
        place: page and line.
        language: the first word behind the fence; None if the block is indented.
        file: the name that the paragraph before gives to the block, as `my_data.yaml`; or "".
    """

    place: str
    language: str | None
    text: str
    file: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the code blocks of a page in order."""
    suffixes, paragraph = {"yaml": ".yaml", "python": ".py"}, ""
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type == "inline":
            paragraph = token.content
        elif token.type in ("fence", "code_block"):
            language, _, argument = token.info.partition(" ")
            place, text = f"{page}:{token.map[0] + 1}", token.content
            named = re.findall(rf"`(my_\w+\{suffixes.get(language, 'no')})`", paragraph)
            file = named[-1] if named else ""
            if language == "{literalinclude}":
                included = (ROOT / page).parent / argument
                file, text = included.name, included.read_text(encoding="utf-8")
            yield Block(place, language if token.type == "fence" else None, text, file)


def commands(block: Block) -> list[str]:
    """Return the commands of a block, each on one line."""
    return [line for line in block.text.replace("\\\n", " ").splitlines() if line]


def why_not_run(text: str) -> str:
    """Return the reason for which a command or block is not run, "" if it is."""
    return next((why for start, why in NOT_RUN.items() if text.startswith(start)), "")


def write_files(page: str) -> None:
    """Write the blocks of a page that are files into the working directory."""
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")


def walk(page: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run the blocks of a page in the working directory.

    Args:
        page: its path below the root.
        names: variables of its Python blocks that the page takes for granted.

    Returns:
        The variables of its Python blocks.
    """
    names = {} if names is None else names
    write_files(page)
    for block in blocks(page):
        if block.language == "sh":
            for command in commands(block):
                if not why_not_run(command):
                    run_command(command)
        elif block.file or why_not_run(block.text):
            continue
        elif block.language == "python":
            print(f"$ {block.place}", flush=True)
            exec(compile(block.text, block.place, "exec"), names)
        elif block.language == "yaml":
            load_fragment(block.text)
    return names


def run_command(command: str) -> None:
    """Run a command of Python or vt-seg in this process, since importing is what takes time."""
    for long, short in SMALLER.items():
        command = command.replace(long, short)
    print(f"$ {command}", flush=True)
    program, *arguments = shlex.split(command, comments=True)
    try:
        if program == "vt-seg":
            from vt_seg.cli.main import main

            code: Any = main(arguments)
        else:
            assert program == "python", command
            before, sys.argv = sys.argv, arguments
            try:
                runpy.run_path(arguments[0], run_name="__main__")
            finally:
                sys.argv = before
            code = None
    except SystemExit as end:
        code = end.code
    assert not code, f"{command}: {code}"


def load_fragment(text: str) -> None:
    """Load a part of a config, or entries of DATASETS.CUSTOM; its values are checked with it."""
    from detectron2.data import DatasetCatalog

    from vt_seg.data import unregister
    from vt_seg.engine import load_cfg

    known, content = set(DatasetCatalog.list()), yaml.safe_load(text)
    content = {"DATASETS": {"CUSTOM": content}} if isinstance(content, list) else content
    content = {"_BASE_": "configs/vtfpn_R18_scenes.yaml", **content}
    Path("fragment.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    load_cfg("fragment.yaml")
    unregister(*(set(DatasetCatalog.list()) - known))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        walk(name)
    print("installed:", sys.modules["vt_seg"].__file__)
