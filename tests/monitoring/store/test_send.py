import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.settings import Elasticsearch as Settings
from monitoring.store import send
from monitoring.store.client import Unreachable, connect
from monitoring.store.counts import Counts
from monitoring.store.lines import Document, Line, document
from monitoring.store.send import NotSetUp, Sender, Stopped
from monitoring.store.setup import install
from occupancy.errors import InputError
from tests.monitoring.conftest import Store
from tests.monitoring.store.faults import Proxy, ids, lines, proxied, stored, until


class Way:
    """A sender, the proxy on its way, and what it counts."""

    def __init__(self, store: Store, proxy: Proxy, patience: float) -> None:
        self.store, self.proxy, self.counts, self.stop = store, proxy, Counts(), threading.Event()
        self.client = connect(Settings(elasticsearch_url=proxy.url))
        self.sender = Sender(self.client, store.prefix, self.counts, self.stop.wait, patience)

    def documents(self, of: list[bytes]) -> list[Document]:
        return [document(Line(0, 0, 1, line.rstrip(b"\n")), self.store.prefix) for line in of]


@pytest.fixture
def way(elasticsearch: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    monkeypatch.setattr(send, "LONGEST_PAUSE", 0.5)
    list(install(elasticsearch.client, elasticsearch.prefix, 0, "0-1"))
    with proxied(elasticsearch.url) as proxy:
        way = Way(elasticsearch, proxy, float("inf"))
        yield way
        way.client.close()


def changed(line: bytes, **fields: Any) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode() + b"\n"


def test_documents_are_stored_once_and_equal_their_lines(way: Way) -> None:
    written = lines(1200)
    assert way.sender.send(way.documents(written)) == []
    assert way.sender.send(way.documents(written[:700])) == []
    assert (way.counts.written, way.counts.repeated, way.counts.retries) == (1200, 700, 0)
    assert stored(way.store.client, way.store.prefix) == dict.fromkeys(ids(written), 1)
    (hit,) = way.store.client.search(
        index=f"{way.store.prefix}*", query={"term": {"event.id": ids(written)[7]}}, version=True
    )["hits"]["hits"]
    assert (hit["_source"], hit["_version"]) == (json.loads(written[7]), 1)


def test_what_elasticsearch_never_takes_is_given_back_with_its_reason(way: Way) -> None:
    written = lines(5)
    written[1] = changed(written[1], **{"occupancy.reading.CO2": "much"})
    written[3] = written[3].replace(b'"occupancy.room"', b'"occupancy.answer":"empty","occupancy.room"')  # twice
    refused = way.sender.send(way.documents(written))
    assert [number for number, _ in refused] == [1, 3]
    assert "document_parsing_exception" in refused[0][1]
    assert 'For input string: "much"' in refused[0][1]
    assert "Duplicate field 'occupancy.answer'" in refused[1][1]
    assert way.counts.written == 3


def test_of_a_request_that_is_wrong_as_a_whole_all_but_the_culprit_is_stored(way: Way) -> None:
    documents = way.documents(lines(9))
    documents[4] = documents[4]._replace(id="x" * 600)
    ((number, reason),) = way.sender.send(documents)
    assert number == 4
    assert "id [xxx" in reason
    assert way.counts.written == 8


@pytest.mark.parametrize("mode", ["cut", "busy", "lost"])
def test_it_is_tried_again_until_there_is_an_answer(way: Way, mode: str) -> None:
    written = lines(20)
    way.proxy.mode = mode
    threading.Timer(1.0, setattr, (way.proxy, "mode", "pass")).start()
    assert way.sender.send(way.documents(written)) == []
    assert way.counts.retries > 0
    assert way.counts.written + way.counts.repeated == 20
    assert (way.counts.repeated == 20) is (mode == "lost")
    assert stored(way.store.client, way.store.prefix) == dict.fromkeys(ids(written), 1)


def break_it(way: Way, how: str, name: str) -> None:
    indices = way.store.client.indices
    if how == "read-only":
        indices.put_settings(index=name, settings={"index.blocks.write": True})
    elif how == "closed":
        indices.close(index=name)
    else:
        indices.delete_index_template(name=f"{way.store.prefix}occupancy-verdicts")


def mend_it(way: Way, how: str, name: str) -> None:
    indices = way.store.client.indices
    if how == "read-only":
        indices.put_settings(index=name, settings={"index.blocks.write": False})
    elif how == "closed":
        indices.open(index=name)
    else:
        list(install(way.store.client, way.store.prefix, 0, "0-1"))


@pytest.mark.parametrize("how", ["read-only", "closed", "without template"])
def test_an_index_that_a_person_has_to_mend_is_waited_for(way: Way, how: str) -> None:
    first, second = lines(2)
    way.sender.send(way.documents([first]))
    name = way.documents([first])[0].into
    break_it(way, how, name)
    way.sender._prepared.clear()  # as after any failure
    thread = threading.Thread(target=way.sender.send, args=(way.documents([first, second]),), daemon=True)
    thread.start()
    until(lambda: way.counts.retries > 1)
    mend_it(way, how, name)
    thread.join(60)
    assert not thread.is_alive()
    assert stored(way.store.client, way.store.prefix) == dict.fromkeys(ids([first, second]), 1)


def test_patience_ends_and_a_stop_is_heard(way: Way) -> None:
    documents = way.documents(lines(1))
    way.proxy.mode = "busy"
    impatient = Sender(way.client, way.store.prefix, way.counts, way.stop.wait, 0.5)
    with pytest.raises(InputError, match=r"given up after 0.5 s: .* answers 429"):
        impatient.send(documents)
    with pytest.raises(InputError, match="answers 429"):
        impatient.destination()
    threading.Timer(0.3, way.stop.set).start()
    with pytest.raises(Stopped):
        way.sender.send(documents)
    with pytest.raises(Stopped):
        way.sender.destination()


def test_nothing_is_stored_where_nothing_is_set_up(elasticsearch: Store) -> None:
    sender = Sender(elasticsearch.client, elasticsearch.prefix, Counts(), lambda _: True, 10.0)
    with pytest.raises(NotSetUp, match="run `python -m monitoring setup`"):
        sender.destination()
    with pytest.raises(Stopped):
        sender.send([document(Line(0, 0, 1, lines(1)[0].rstrip(b"\n")), elasticsearch.prefix)])
    assert elasticsearch.client.indices.get(index=f"{elasticsearch.prefix}occupancy-*") == {}


def test_what_is_not_elasticsearch_is_told() -> None:
    with connect(Settings(elasticsearch_url="http://127.0.0.1:9")) as client, pytest.raises(Unreachable):
        Sender(client, "", Counts(), lambda _: True, 1.0).destination()
