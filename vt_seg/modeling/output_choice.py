"""What a segmentor gives: scores of all classes, or labels."""

OUTPUTS = ("logits", "labels")


class OutputChoice:
    """A model with an ``output``."""

    @property
    def output(self) -> str:
        """ "logits" or "labels"; may be changed at any time.

        Raises:
            ValueError: it is set to something else.
        """
        return self._output

    @output.setter
    def output(self, output: str) -> None:
        check_output(output)
        self._output = output


def check_output(output: str) -> None:
    """Refuse what ``MODEL.SEM_SEG_HEAD.OUTPUT`` cannot be.

    Raises:
        ValueError: it is that.
    """
    if output not in OUTPUTS:
        raise ValueError(f'MODEL.SEM_SEG_HEAD.OUTPUT is "{output}": use "logits" or "labels"')
