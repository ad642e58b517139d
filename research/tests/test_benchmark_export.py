"""The script fills its section of the document."""

from research.benchmark_export import parse
from research.marked_section import read_document


def test_latencies_are_measured_into_a_section_of_the_document():
    assert read_document(parse([]).report, ["latency"])
