import json
from datetime import UTC, datetime

import pytest

from monitoring.__main__ import main
from monitoring.store import templates
from occupancy import record
from tests.monitoring.conftest import Store


def run(store: Store, capsys: pytest.CaptureFixture[str], *argv: str, status: int = 0) -> list[tuple[str, str]]:
    assert main(["setup", *argv], store.environ) == status
    lines = capsys.readouterr().out.splitlines()
    return [(line.split()[0], line.split()[-1].removeprefix(store.prefix)) for line in lines]


def changed(told: list[tuple[str, str]]) -> dict[str, str]:
    return {name: done for done, name in told if done != "unchanged"}


def test_it_installs_all_and_again_changes_nothing(elasticsearch: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(elasticsearch, capsys)
    assert {done for done, _ in first} == {"created"}
    assert len(first) == 9
    assert run(elasticsearch, capsys) == [("unchanged", name) for _, name in first]


def test_records_of_every_kind_are_stored_as_they_are_and_found(
    elasticsearch: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run(elasticsearch, capsys)
    boot = record.Boot("occupancy", "1.0.0", "cc825e5410e0", simulated=True)
    request = record.Request("r", "", "", 0)
    now = datetime(2026, 2, 3, 4, 5, 6, 123456, UTC)
    longest = "\N{GRINNING FACE}" * templates.MAX_KEYWORD
    kinds = [
        record.prediction(
            boot, request, room="lab", reading_id=None, reading_time=now, values=(21.0, 30.0, 0.0, 500.0, 0.004),
            probability=0.5, label=1, answer="uncertain", flags=["stuck:CO2"], label_wanted=True,
        ),
        record.refusal(boot, request, reason="range", detail="d" * 9000, room="lab", given={"CO2": 1e400, "Light": 1e300}),
        record.feedback(boot, request, prediction=longest, occupied=True, authenticated=False),
        record.loss(boot, 7),
        record.verdict(
            "monitoring", "1.0.0", at=now, room="lab", model_version="m", state="opened", layer="health", rule="stuck",
            sensor="CO2", value=9.0, limit=6.0, since=now, consequence="person", message="m", advice="a", certainty="c",
        ),
    ]  # fmt: skip
    for fields in kinds:
        line = json.loads(record.line(fields))
        index = elasticsearch.prefix + record.index(line)
        elasticsearch.client.create(index=index, id=line["event.id"], document=line, refresh=True)
        assert elasticsearch.client.get(index=index, id=line["event.id"])["_source"] == line
        for name, value in line.items():  # what is mapped is also found by its value
            if value is not None and len(str(value)) < 8192:
                term = {"terms" if isinstance(value, list) else "term": {name: value}}
                query = {"bool": {"filter": [term, {"term": {"event.id": line["event.id"]}}]}}
                assert elasticsearch.client.count(index=index, query=query)["count"] == 1, name


def test_retention_and_replicas_reach_indices_that_are_there(
    elasticsearch: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    run(elasticsearch, capsys)
    index = elasticsearch.prefix + "occupancy-feedback-2026.01"
    elasticsearch.client.indices.create(index=index)
    assert changed(run(elasticsearch, capsys, "--retention", "30")) == {"occupancy-retention": "updated"}
    name = templates.policy_name(elasticsearch.prefix)
    phases = elasticsearch.client.ilm.get_lifecycle(name=name)[name]["policy"]["phases"]
    assert phases["delete"]["min_age"] == "61d"
    told = changed(run(elasticsearch, capsys, "--retention", "0", "--replicas", "0"))
    assert told["occupancy-feedback-2026.01"] == "updated"
    settings = elasticsearch.client.indices.get_settings(index=index)[index]["settings"]["index"]
    assert (settings["number_of_replicas"], settings["auto_expand_replicas"]) == ("0", "false")
    assert settings["lifecycle"]["name"] == name
    assert "delete" not in elasticsearch.client.ilm.get_lifecycle(name=name)[name]["policy"]["phases"]


def test_new_fields_reach_indices_that_are_there(elasticsearch: Store, capsys: pytest.CaptureFixture[str]) -> None:
    index = elasticsearch.prefix + "occupancy-predictions-2026.01"
    elasticsearch.client.indices.create(
        index=index, mappings={"dynamic": False, "properties": templates.properties(record.FIELDS[:3])}
    )
    assert changed(run(elasticsearch, capsys))["occupancy-predictions-2026.01"] == "updated"
    found = elasticsearch.client.indices.get_mapping(index=index)[index]["mappings"]
    assert found["properties"] == templates.properties()
    assert changed(run(elasticsearch, capsys)) == {}


def test_an_index_that_cannot_take_the_fields_is_named(
    elasticsearch: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    index = elasticsearch.prefix + "occupancy-predictions-2026.01"
    elasticsearch.client.index(index=index, document={"occupancy.room": "made before the templates"})
    assert main(["setup"], elasticsearch.environ) == 2
    told = capsys.readouterr().err
    assert f"the index {index} can't take the records' fields" in told
    assert "[text] to [keyword]); delete it and load its files again" in told


def test_a_change_by_hand_is_taken_back(elasticsearch: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run(elasticsearch, capsys)
    name = elasticsearch.prefix + "occupancy-verdicts"
    found = elasticsearch.client.indices.get_index_template(name=name)["index_templates"][0]["index_template"]
    elasticsearch.client.indices.put_index_template(name=name, body={**found, "priority": 7})
    assert changed(run(elasticsearch, capsys)) == {"occupancy-verdicts": "updated"}


def test_a_template_of_somebody_else_is_left_alone(elasticsearch: Store, capsys: pytest.CaptureFixture[str]) -> None:
    name = elasticsearch.prefix + "occupancy-feedback"
    elasticsearch.client.indices.put_index_template(name=name, index_patterns=[name + "*"], priority=7)
    assert main(["setup"], elasticsearch.environ) == 2
    assert f"the index template {name} is there and was not made by this program" in capsys.readouterr().err
    assert elasticsearch.prefix + "occupancy-retention" not in elasticsearch.client.ilm.get_lifecycle()


def test_settings_out_of_their_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--retention", "-1"], ["--replicas", "many"]):
        assert main(["setup", *argv], {}) == 2
        assert argv[0] in capsys.readouterr().err


def test_a_kibana_that_is_not_there_is_told_after_the_rest_is_done(
    elasticsearch: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["setup", "--kibana-url", "http://127.0.0.1:1"], elasticsearch.environ) == 2
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 9
    assert "no Kibana answers at http://127.0.0.1:1" in told.err
