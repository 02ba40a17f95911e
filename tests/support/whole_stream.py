"""A recorded stream, read at once."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_specdec.load.sse import Read, Stream, StreamReader


def parse_stream(reads: Sequence[Read]) -> Stream:
    """Read all of a stream that has ended."""
    reader = StreamReader()
    for arrival_s, data in reads:
        reader.feed(arrival_s, data)
    return reader.stream(ended=True)
