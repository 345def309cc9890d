import json
from typing import Any

import pytest

from monitoring.store.lines import LONGEST, Assembler, Line, NotARecord, document
from tests.monitoring.store.faults import cri, lines


def docker(text: str, stream: str = "stdout") -> bytes:
    return json.dumps({"log": text, "stream": stream, "time": "2026-02-03T04:05:06.1Z"}, separators=(",", ":")).encode()


def feed(*raws: bytes) -> list[Line]:
    assembler, offset, found = Assembler(), 0, []
    for number, raw in enumerate(raws, 1):
        line = assembler.feed(Line(offset, offset + len(raw) + 1, number, raw))
        offset += len(raw) + 1
        found += [line] if line else []
    left = assembler.flush()
    return [*found, left] if left else found


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(lines(1)[0]), **{k.replace("__", "."): v for k, v in fields.items()}}).encode()


def why(raw: bytes) -> str:
    with pytest.raises(NotARecord) as caught:
        document(feed(raw)[0], "")
    return str(caught.value)


def test_a_line_is_the_same_document_whatever_is_wrapped_around_it() -> None:
    raw = lines(1)[0].rstrip(b"\n")
    record = json.loads(raw)
    half = len(raw) // 2
    for wrapped in (
        [raw],
        [raw + b"\r"],
        [cri(raw)],
        [cri(raw, tag="F:more")],
        [cri(raw[:half], tag="P"), cri(raw[half:])],
        [cri(raw[:half], tag="P"), cri(b"a message", "stderr"), cri(raw[half:-1], tag="P"), cri(raw[-1:])],
        [cri(raw, tag="P"), cri(b"")],
        [docker(raw.decode() + "\n")],
        [docker(raw.decode() + "\r\n")],
        [docker(raw.decode()[:half]), docker(raw.decode()[half:] + "\n")],
    ):
        (line,) = feed(*wrapped)
        made = document(line, "test-")
        assert (made.source, made.id) == (raw, record["event.id"])
        assert made.into == f"test-occupancy-predictions-{record['@timestamp'][:7].replace('-', '.')}"
        assert (line.offset, line.number, line.end) == (0, 1, sum(len(part) + 1 for part in wrapped))


def test_messages_and_blank_lines_are_no_records_and_not_looked_at() -> None:
    assert feed(cri(b"a message", "stderr"), cri(b"of two", "stderr", "P"), cri(b"parts", "stderr")) == []
    assert feed(docker("a message\n", "stderr"), b"", b"   ", cri(b"")) == []


def test_what_is_no_record_is_told_why() -> None:
    assert why(b"2026-02-03 INFO ready") == "no JSON object"
    assert why(b"{ready}") == "not JSON"
    assert why(b'{"a": NaN}') == "not JSON"
    assert why(b"[1]") == "no JSON object"
    assert why(b'{"message": "hello"}') == "no record of ours: it has no event.dataset"
    assert why(b'{"event.dataset": "nginx.access"}') == "no record of ours: event.dataset is 'nginx.access'"
    assert why(b'{"event": {"dataset": "occupancy.prediction"}}') == "no record of ours: it has no event.dataset"
    assert why(changed(event__dataset=["a"])).startswith("no record of ours: Expected `str`, got `array`")
    assert why(changed(**{"@timestamp": 1770091506})).startswith("no record of ours: Expected `str`, got `int`")
    assert why(changed(**{"@timestamp": "yesterday"})) == "@timestamp is 'yesterday', no time"
    assert why(changed(**{"@timestamp": "0001-01-01T00:00:00+10:00"})).endswith("no time")
    assert why(changed(event__id="x" * 600)).startswith("event.id is 'xxx")
    assert why(changed(event__id="")) == "event.id is ''; expected a boot's 12 hex digits, a hyphen and a number"
    assert why(lines(1)[0].rstrip(b"\n").replace(b'"lab"', b'"l\xffb"')) == "not UTF-8"


def test_a_time_without_a_zone_would_be_another_month_on_another_machine() -> None:
    assert why(changed(**{"@timestamp": "2026-01-31T23:30:00"})).endswith("without a zone")
    moved = document(feed(changed(**{"@timestamp": "2026-01-31T23:30:00-02:00"}))[0], "")
    assert moved.into == "occupancy-predictions-2026.02"


def test_a_verdict_has_an_id_of_its_own_kind() -> None:
    verdict = changed(event__dataset="occupancy.verdict", event__id="0123456789ab-opened")
    assert document(feed(verdict)[0], "").into.startswith("occupancy-verdicts-")


def test_a_line_that_is_too_long_is_not_held() -> None:
    parts = [cri(b"x" * 16384, tag="P")] * 500
    (line,) = feed(*parts, cri(b"end"))
    assert len(line.text) == LONGEST
    with pytest.raises(NotARecord, match=f"a line of {line.end} bytes; a record has at most 4096"):
        document(line, "")


def test_a_line_that_ends_with_its_file_is_cut_unless_it_is_a_whole_record() -> None:
    raw = lines(1)[0].rstrip(b"\n")
    assert document(Line(0, len(raw), 1, raw, whole=False), "").source == raw
    for cut in (raw[:-1], raw[:10], b"{"):
        with pytest.raises(NotARecord, match="the file ends in the middle of this line"):
            document(Line(0, len(cut), 1, cut, whole=False), "")
    (waited,) = feed(cri(raw[:-1], tag="P"))
    with pytest.raises(NotARecord, match="the file ends in the middle"):
        document(waited, "")


@pytest.mark.parametrize("raw", [b'{"log":"x', b'{"log":1,"stream":"stdout"}', b'{"log":"a","stream":"stdout","b":'])
def test_what_looks_like_dockers_but_is_not_stays_as_it_is(raw: bytes) -> None:
    assert feed(raw)[0].text == raw
