import os
import secrets
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from elasticsearch import Elasticsearch

from monitoring.settings import Elasticsearch as Settings
from monitoring.store.client import check, connect
from occupancy.errors import InputError


class Store(NamedTuple):
    """A real Elasticsearch, and the prefix under which all that a test makes is deleted afterwards."""

    client: Elasticsearch
    url: str
    prefix: str

    @property
    def environ(self) -> dict[str, str]:
        """What a command of ours needs to use it."""
        return {"ELASTICSEARCH_URL": self.url, "ELASTICSEARCH_PREFIX": self.prefix}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "elasticsearch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.elasticsearch)


@pytest.fixture
def elasticsearch() -> Iterator[Store]:
    url = os.environ.get("ELASTICSEARCH_URL", "")
    if not url:
        pytest.skip("ELASTICSEARCH_URL is not set")
    with connect(Settings(elasticsearch_url=url)) as client:
        try:
            check(client)
        except InputError as error:
            pytest.skip(str(error))
        prefix = f"test-{secrets.token_hex(4)}-"
        try:
            yield Store(client, url, prefix)
        finally:
            _delete(client, prefix)


def _delete(client: Elasticsearch, prefix: str) -> None:
    # by name: a server may refuse to delete by wildcard
    for index in client.indices.get(index=f"{prefix}*", expand_wildcards="all", features="aliases"):
        client.indices.delete(index=index, ignore_unavailable=True)
    for found in client.indices.get_index_template()["index_templates"]:
        if found["name"].startswith(prefix):
            client.indices.delete_index_template(name=found["name"])
    for found in client.cluster.get_component_template()["component_templates"]:
        if found["name"].startswith(prefix):
            client.cluster.delete_component_template(name=found["name"])
    for name in client.ilm.get_lifecycle():
        if name.startswith(prefix):
            client.ilm.delete_lifecycle(name=name)
