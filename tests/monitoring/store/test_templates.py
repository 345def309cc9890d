from itertools import pairwise

import pytest

from monitoring.store import templates
from occupancy.record import FIELDS, INDICES


def test_every_field_of_the_record_is_mapped_with_its_type() -> None:
    found = templates.properties()
    for field in FIELDS:
        level = found
        for parent in field.name.split(".")[:-1]:
            level = level[parent]["properties"]
        assert level[field.name.rpartition(".")[2]]["type"] == field.type


def test_no_field_is_the_parent_of_another() -> None:  # it would have to be a value and an object at once
    names = sorted(f"{field.name}." for field in FIELDS)
    assert not [(one, other) for one, other in pairwise(names) if other.startswith(one)]


def test_each_family_has_a_template_that_takes_its_months() -> None:
    made = templates.index_templates("a-", "1")
    for family in INDICES.values():
        assert made[f"a-{family}"]["index_patterns"] == [f"a-{family}-*"]
        assert set(made[f"a-{family}"]["composed_of"]) == templates.component_templates("a-", "1").keys()
    assert "lifecycle" not in made["a-occupancy-forgotten"]["template"]["settings"]["index"]


@pytest.mark.parametrize("days", [0, 1, 365])
def test_retention_can_be_read_back_from_the_policy(days: int) -> None:
    made = templates.policy(days)
    assert ("delete" in made["phases"]) == bool(days)
    assert templates.retention(made) == days


def test_a_policy_that_somebody_changed_to_hours_is_taken_as_for_ever() -> None:
    assert templates.retention({"phases": {"delete": {"min_age": "2400h"}}}) == 0


@pytest.mark.parametrize(
    ("replicas", "copies"),
    [
        ("2", {"auto_expand_replicas": "false", "number_of_replicas": "2"}),
        ("0-1", {"auto_expand_replicas": "0-1"}),
    ],
)
def test_replicas_are_a_number_or_a_range(replicas: str, copies: dict[str, str]) -> None:
    index = templates.settings("", replicas)["index"]
    assert {name: index[name] for name in index if name != "lifecycle"} == copies


def test_a_servers_additions_are_no_difference_but_a_change_of_ours_is() -> None:
    wanted = templates.policy(30)
    assert templates.is_ours(wanted)
    assert templates.same(wanted, {**wanted, "modified_date_millis": 1, "phases": {**wanted["phases"], "warm": {}}})
    assert not templates.same(wanted, templates.policy(0))
    assert not templates.same(templates.policy(0), wanted)
    assert not templates.same(wanted, {**wanted, "phases": "none"})
