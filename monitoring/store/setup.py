"""`python -m monitoring setup`: makes Elasticsearch ready for the records, and Kibana for looking at them.

Lifecycle policy, component and index templates, and the mappings of indices that are there already, when the record has
got new fields. Run it again at every release: what is right already stays as it is, and each change is told.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, NamedTuple

import elasticsearch
from elasticsearch import BadRequestError, NotFoundError
from msgspec import Meta

from monitoring import settings
from monitoring.settings import SHIPPED_REFERENCE, Elasticsearch
from monitoring.store import templates
from monitoring.store.client import check, connect, explained
from monitoring.store.templates import FAMILIES, Body
from occupancy.errors import InputError

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"


class Setup(Elasticsearch, frozen=True, kw_only=True):
    """The settings of `setup`."""

    retention: Annotated[
        int,
        Meta(
            ge=0, le=36500, description="days that a record is kept at least, and a month longer at most; 0: for ever"
        ),
    ] = 365
    replicas: Annotated[
        str,
        Meta(pattern="^([0-9]|0-1)$", description="copies of each index; 0-1: one where there are two nodes or more"),
    ] = "0-1"
    kibana_url: Annotated[
        str, Meta(description="Kibana, as scheme://host:port, to import the dashboards into; empty: they are not")
    ] = ""
    reference: Annotated[
        str,
        Meta(description="reference.json of the model, for the sensors' season in Kibana; empty: charts without it"),
    ] = SHIPPED_REFERENCE


class ForeignTemplate(InputError):
    """A template or policy of a name of ours was made by somebody else."""


class UnfitIndex(InputError):
    """An index can't take the mapping of the records: it was made before the templates, or by something else."""


class Change(NamedTuple):
    """What became of one thing: created, updated or unchanged."""

    done: str
    what: str


class Kind(NamedTuple):
    """One kind of thing that Elasticsearch keeps by name, and how to get and put one."""

    title: str
    get: Callable[[str], Body]
    put: Callable[[str, Body], object]


def install(client: elasticsearch.Elasticsearch, prefix: str, retention: int, replicas: str) -> Iterator[Change]:
    """Put the policy, the templates and what existing indices lack; gives each thing as it is done.

    Raises ForeignTemplate before anything is changed, and UnfitIndex.
    """
    things = _things(client, prefix, retention, replicas)
    found = {name: _get(kind, name) for name, (kind, _) in things.items()}
    for name, (kind, _) in things.items():
        if (there := found[name]) is not None and not templates.is_ours(there):
            raise ForeignTemplate(
                f"the {kind.title} {name} is there and was not made by this program; delete it, or set ELASTICSEARCH_PREFIX "
                "to keep the two apart"
            )
    for name, (kind, wanted) in things.items():
        there = found[name]
        if there is None or not templates.same(wanted, there):
            kind.put(name, wanted)
            yield Change(CREATED if there is None else UPDATED, f"{kind.title} {name}")
        else:
            yield Change(UNCHANGED, f"{kind.title} {name}")
    for family in FAMILIES:
        yield from _existing(client, templates.pattern(prefix, family), templates.settings(prefix, replicas))


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives 0."""
    table = settings.read(Setup, "setup", argv, environ, __doc__)
    with connect(table) as client:
        check(client)
        with explained(client):
            for change in install(client, table.elasticsearch_prefix, table.retention, table.replicas):
                print(f"{change.done:<10}{change.what}", flush=True)
    if table.kibana_url:
        from monitoring.dashboards.importing import install as install_dashboards  # noqa: PLC0415 -- charts load pandas
        from occupancy import reference  # noqa: PLC0415 -- as does this

        compared = reference.read(table.reference) if table.reference else None
        for what in install_dashboards(table.kibana_url, table, compared):
            print(f"{'imported':<10}{what}", flush=True)
    return 0


def _things(
    client: elasticsearch.Elasticsearch, prefix: str, retention: int, replicas: str
) -> dict[str, tuple[Kind, Body]]:
    """Name all there is to install, what is built on after what it is built from."""
    policies = Kind(
        "lifecycle policy",
        lambda name: client.ilm.get_lifecycle(name=name)[name]["policy"],
        lambda name, body: client.ilm.put_lifecycle(name=name, body={"policy": body}),
    )
    components = Kind(
        "component template",
        lambda name: client.cluster.get_component_template(name=name)["component_templates"][0]["component_template"],
        lambda name, body: client.cluster.put_component_template(name=name, body=body),
    )
    indices = Kind(
        "index template",
        lambda name: client.indices.get_index_template(name=name)["index_templates"][0]["index_template"],
        lambda name, body: client.indices.put_index_template(name=name, body=body),
    )
    return {
        templates.policy_name(prefix): (policies, templates.policy(retention)),
        **{name: (components, body) for name, body in templates.component_templates(prefix, replicas).items()},
        **{name: (indices, body) for name, body in templates.index_templates(prefix, replicas).items()},
    }


def _get(kind: Kind, name: str) -> Body | None:
    try:
        return kind.get(name)
    except NotFoundError:
        return None


def _existing(client: elasticsearch.Elasticsearch, pattern: str, settings: Body) -> Iterator[Change]:
    """Give indices that are there already the fields and settings that they lack: templates act on new ones only."""
    mappings = templates.mappings()
    for name, found in client.indices.get(index=pattern, features="mappings,settings").items():
        lacks = not templates.same(mappings, found["mappings"])
        if lacks:
            try:
                client.indices.put_mapping(index=name, body=mappings)
            except BadRequestError as error:
                raise UnfitIndex(
                    f"the index {name} can't take the records' fields ({error.message}: {error.body['error']['reason']}); "
                    "delete it and load its files again"
                ) from None
        if other := not templates.same(settings, found["settings"]):
            client.indices.put_settings(index=name, settings=settings)
        yield Change(UPDATED if lacks or other else UNCHANGED, f"index {name}")
