"""What Elasticsearch is told about the records, made from their one definition; pure functions.

Indices are plain, one a month and family (`record.index`), not a data stream: an id is unique within one index only, so
the same line must always meet the same index. `dynamic: false` keeps a field that is not in the definition in the
document, but not in the index. Bodies have the form in which the server gives them back, to be compared with it.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from occupancy.record import FIELDS, INDICES, Field

FAMILIES = tuple(dict.fromkeys(INDICES.values()))
FORGOTTEN = "occupancy-forgotten"
"""The index of what was deleted on purpose: boot and ranges of sequence numbers, and no room."""
TOMBSTONE = (
    Field("@timestamp", "date", "when it was deleted"),
    Field("occupancy.boot", "keyword", "whose records"),
)
MANAGED_BY = "occupancy monitoring"
PRIORITY = 500
MONTH = 31
"""Days: an index's age counts from its first record, and its last one may be a month younger."""
MAX_KEYWORD = 32766 // 4
"""Characters that surely fit into Lucene's longest term, in bytes: beyond, the whole document would be refused."""

Body = dict[str, Any]


def pattern(prefix: str, *families: str) -> str:
    """Name all months of some families, as the client takes it."""
    return ",".join(f"{prefix}{family}-*" for family in families)


def policy_name(prefix: str) -> str:
    """Name the lifecycle policy."""
    return f"{prefix}occupancy-retention"


def policy(retention: int) -> Body:
    """Write the lifecycle policy: each record is kept at least `retention` days and at most a month longer; 0 for ever."""
    phases: Body = {"hot": {"min_age": "0ms", "actions": {}}}
    if retention:
        phases["delete"] = {"min_age": f"{retention + MONTH}d", "actions": {"delete": {}}}
    return _signed({"phases": phases})


def retention(policy: Mapping[str, Any]) -> int:
    """Read back from a policy how many days records are kept at least; 0 for ever."""
    age = str(policy["phases"].get("delete", {}).get("min_age", "0d"))
    return max(0, int(age.removesuffix("d")) - MONTH) if age.endswith("d") else 0


def properties(fields: tuple[Field, ...] = FIELDS) -> Body:
    """Map fields with dotted names to nested properties."""
    root: Body = {}
    for field in fields:
        *parents, last = field.name.split(".")
        level = root
        for parent in parents:
            level = level.setdefault(parent, {"properties": {}})["properties"]
        level[last] = {"type": field.type, **({"ignore_above": MAX_KEYWORD} if field.type == "keyword" else {})}
    return root


def mappings(fields: tuple[Field, ...] = FIELDS) -> Body:
    """Write the whole mapping."""
    return {"dynamic": "false", "properties": properties(fields)}


def settings(prefix: str, replicas: str) -> Body:
    """Write the settings that a running index can take, too; `replicas` is a number, or a range that nodes decide."""
    copies = (
        {"auto_expand_replicas": replicas}
        if "-" in replicas
        else {"auto_expand_replicas": "false", "number_of_replicas": replicas}
    )
    return {"index": {"lifecycle": {"name": policy_name(prefix)}, **copies}}


def component_templates(prefix: str, replicas: str) -> dict[str, Body]:
    """Write the component templates by name: what the fields are, how they are stored, how long and in how many copies."""
    fixed = {"index": {"number_of_shards": "1"}}  # ten million records a month fit well into one
    return {
        f"{prefix}occupancy-mappings": _signed({"template": {"mappings": mappings()}}),
        f"{prefix}occupancy-settings": _signed({"template": {"settings": fixed}}),
        f"{prefix}occupancy-lifecycle": _signed({"template": {"settings": settings(prefix, replicas)}}),
    }


def index_templates(prefix: str, replicas: str) -> dict[str, Body]:
    """Write the index templates by name: one a family of records, and one for what was forgotten, which never expires."""
    parts = list(component_templates(prefix, replicas))
    records = {
        f"{prefix}{family}": {
            "index_patterns": [pattern(prefix, family)],
            "composed_of": parts,
            "priority": PRIORITY,
        }
        for family in FAMILIES
    }
    copies = {"index": {k: v for k, v in settings(prefix, replicas)["index"].items() if k != "lifecycle"}}
    tombstones = {
        "index_patterns": [prefix + FORGOTTEN],
        "composed_of": [],
        "priority": PRIORITY,
        "template": {"settings": copies, "mappings": mappings(TOMBSTONE)},
    }
    return {name: _signed(body) for name, body in {**records, prefix + FORGOTTEN: tombstones}.items()}


def is_ours(body: Mapping[str, Any]) -> bool:
    """Tell whether an installed policy or template was made here."""
    return bool(body.get("_meta", {}).get("managed_by") == MANAGED_BY)


def same(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Tell whether what is installed is what is wanted: the mark of its content, and the content but for additions.

    A server adds defaults, and newer ones add more; what we no longer want shows in the mark.
    """
    return all(
        same(value, found[key])
        if isinstance(value, dict) and isinstance(found.get(key), dict)
        else found.get(key) == value
        for key, value in wanted.items()
    )


def _signed(body: Body) -> Body:
    mark = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
    return {**body, "_meta": {"managed_by": MANAGED_BY, "content": mark}}
