"""The directive ``command-help``: what ``vt-seg COMMAND --help`` prints, made at every build."""

import io
import os
from contextlib import redirect_stdout, suppress

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vt_seg.cli.main import main


class CommandHelp(SphinxDirective):
    """Shows the help of a sub-command: ``{command-help} visualize data``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the help as a literal block."""
        text = help_of(self.arguments[0])
        return [nodes.literal_block(text, text, language="none")]


def help_of(command: str) -> str:
    """Return what ``vt-seg COMMAND --help`` prints, in lines of at most 88 columns."""
    os.environ["COLUMNS"] = "90"  # argparse leaves two columns free
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        main([*command.split(), "--help"])
    return printed.getvalue()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
