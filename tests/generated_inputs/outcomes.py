"""What generated inputs may end in: a value, or a sentence that names the input."""

import signal
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LIMIT = 20  # seconds after which an input counts as a hang


class Refused(str):
    """The sentence in which an input was refused."""


def generated(num_examples: int) -> settings:
    """Return settings under which every run tests the same inputs, with files in one folder."""
    return settings(
        max_examples=num_examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def outcome(call: Callable[[], Any], *names: object) -> Any:
    """Return what ``call`` returns, or its error's message, which must contain one of ``names``.

    Errors of other types than those that tools print as a sentence are left to fail the test.
    """
    try:
        with _limited():
            return call()
    except (ValueError, OSError) as error:
        # argparse and yacs raise subclasses of these; their text must name the input as well.
        said = str(error)
    written = [form for name in names for form in (str(name), repr(str(name))) if form in said]
    assert written, f"{said!r} names none of {names}"
    assert len(said) > max(map(len, written)) + 10, said
    assert " at 0x" not in said
    return Refused(said)


@contextmanager
def _limited():
    def stop(*_):
        raise TimeoutError(f"no result after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damaged(contents: list[bytes], pieces: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return contents in which one to four places are overwritten, filled or cut out."""
    change = st.tuples(
        st.integers(0, 10**6), st.sampled_from([0, 0, 1, 4]), st.sampled_from(pieces)
    )

    def changed(content: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
        for place, length, piece in changes:
            place %= len(content) + 1
            content = content[:place] + piece + content[place + length :]
        return content

    return st.builds(changed, st.sampled_from(contents), st.lists(change, min_size=1, max_size=4))


def json_values(keys: st.SearchStrategy = st.text(max_size=6)) -> st.SearchStrategy:  # noqa: B008
    """Return whatever JSON and YAML can hold, small and odd."""
    numbers = st.one_of(
        st.integers(-3, 300),
        st.sampled_from([10**30, -(10**30), 65_536, 2**63, 10**400]),
        st.floats(width=32),
    )
    texts = st.one_of(
        st.text(max_size=6), st.sampled_from(["\0", "~", "/", "{id}", "a" * 300, "é"])
    )
    leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=6,
    )
