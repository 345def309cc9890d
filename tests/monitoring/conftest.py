import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from monitoring.settings import Elasticsearch as Settings
from monitoring.store.client import check, connect
from monitoring.store.setup import install
from occupancy.errors import InputError
from occupancy.record import index as month


class Store(NamedTuple):
    """A real Elasticsearch, and the prefix under which all that a test makes is deleted afterwards."""

    client: Elasticsearch
    url: str
    prefix: str

    @property
    def environ(self) -> dict[str, str]:
        """What a command of ours needs to use it."""
        return {"ELASTICSEARCH_URL": self.url, "ELASTICSEARCH_PREFIX": self.prefix}

    def create(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Store decoded records where they belong, to be found at once."""
        documents = (
            {"_op_type": "create", "_index": self.prefix + month(line), "_id": line["event.id"], "_source": line}
            for line in lines
        )
        bulk(self.client, documents, refresh=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.elasticsearch)


@pytest.fixture(scope="session")
def server() -> Iterator[Store]:
    """The Elasticsearch that is there; its prefix is not for use."""
    url = os.environ.get("ELASTICSEARCH_URL", "")
    if not url:
        pytest.skip("ELASTICSEARCH_URL is not set")
    with connect(Settings(elasticsearch_url=url)) as client:
        try:
            check(client)
        except InputError as error:
            pytest.skip(str(error))
        yield Store(client, url, "")


@pytest.fixture
def elasticsearch(server: Store) -> Iterator[Store]:
    """A prefix of a test's own, with nothing under it."""
    yield from _prefixed(server)


@pytest.fixture(scope="session")
def _templates(server: Store) -> Iterator[Store]:
    for store in _prefixed(server):
        list(install(store.client, store.prefix, retention=0, replicas="0-1"))
        yield store


@pytest.fixture
def installed(_templates: Store) -> Iterator[Store]:
    """What `setup` installs, and no index; quicker than to install it for each test."""
    yield _templates
    _delete_indices(_templates)


def _prefixed(server: Store) -> Iterator[Store]:
    store = server._replace(prefix=f"test-{secrets.token_hex(4)}-")
    try:
        yield store
    finally:
        _delete(store)


def _delete_indices(store: Store) -> None:
    # by name: a server may refuse to delete by wildcard
    if names := list(store.client.indices.get(index=f"{store.prefix}*", expand_wildcards="all", features="aliases")):
        store.client.indices.delete(index=names, ignore_unavailable=True)


def _delete(store: Store) -> None:
    _delete_indices(store)
    client = store.client
    named = f"{store.prefix}*"
    if found := client.options(ignore_status=404).indices.get_index_template(name=named).get("index_templates"):
        client.indices.delete_index_template(name=[template["name"] for template in found])
    if found := client.options(ignore_status=404).cluster.get_component_template(name=named).get("component_templates"):
        client.cluster.delete_component_template(name=[template["name"] for template in found])
    for policy in client.ilm.get_lifecycle():
        if policy.startswith(store.prefix):
            client.ilm.delete_lifecycle(name=policy)
