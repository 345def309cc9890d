import pytest

from inference.identity import identify
from tests.inference.conftest import GOOD, Served

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "understood"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01-what-a-later-version-adds", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        ("", False),
    ],
)
def test_a_trace_reaches_the_record(served: Served, traceparent: str, understood: bool) -> None:
    served.answer(GOOD, traceparent=traceparent)
    (record,) = served.records
    assert (record.get("trace.id"), record.get("span.id")) == ((TRACE, SPAN) if understood else (None, None))


def test_ids_of_ours_differ() -> None:
    ids = {identify({}).id for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {len(id_) for id_ in ids} == {16}
