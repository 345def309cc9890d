from prometheus_client.parser import text_string_to_metric_families

from inference.metrics import FIGURES
from occupancy.model import Model, UnusableModel
from tests.inference.conftest import GOOD, Serve, Served, serve_model


def samples(served: Served) -> dict[str, float]:
    """Read /metrics as Prometheus does: name and labels to value."""
    response = served.client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for family in text_string_to_metric_families(response.text):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_what_happened_is_counted(serve: Serve, model: Model) -> None:
    served = serve(max_readings=3)
    served.predict(GOOD)
    served.predict([GOOD, {**GOOD, "Light": 500, "CO2": 900}])
    served.predict([{**GOOD, "CO2": 1}, {**GOOD, "what": 1}])
    served.predict(b"")
    served.predict([GOOD] * 4)
    served.client.get("/predict")
    served.client.get("/nowhere")
    served.client.get("/healthz")
    assert len(served.records) == 7  # and written
    found = samples(served)
    expected = {
        "occupancy_http_requests_total{path=/predict,status=200}": 2,
        "occupancy_http_requests_total{path=/predict,status=422}": 1,
        "occupancy_http_requests_total{path=/predict,status=400}": 1,
        "occupancy_http_requests_total{path=/predict,status=413}": 1,
        "occupancy_http_requests_total{path=/predict,status=405}": 1,
        "occupancy_http_requests_total{path=/healthz,status=200}": 1,
        "occupancy_http_requests_total{path=other,status=404}": 1,
        "occupancy_answers_total{answer=empty}": 2,
        "occupancy_answers_total{answer=occupied}": 1,
        "occupancy_answers_total{answer=uncertain}": 0,
        "occupancy_readings_refused_total{field=CO2,reason=out_of_range}": 1,
        "occupancy_readings_refused_total{field=other,reason=unknown}": 1,
        "occupancy_readings_refused_total{field=body,reason=not_json}": 1,
        "occupancy_readings_refused_total{field=body,reason=too_many}": 1,
        "occupancy_predict_duration_seconds_count{}": 6,
        "occupancy_predict_duration_seconds_bucket{le=+Inf}": 6,
        "occupancy_log_records_written_total{}": 7,
        "occupancy_log_records_dropped_total{}": 0,
        "occupancy_log_records_queued{}": 0,
        "occupancy_model_ready{}": 1,
        f"occupancy_model_info{{simulated=false,version={model.version}}}": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    buckets = [value for name, value in found.items() if name.startswith("occupancy_predict_duration_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert found["occupancy_predict_duration_seconds_sum{}"] > 0
    assert found["process_resident_memory_bytes{}"] > 1e7


def test_every_figure_of_the_table_is_there(served: Served) -> None:
    served.predict({**GOOD, "CO2": 5000})
    served.predict(b"")
    served.client.post("/feedback", json={"id": "0123456789ab-1", "occupied": True})
    families = {f.name: f for f in text_string_to_metric_families(served.client.get("/metrics").text)}
    for figure in FIGURES:
        family = families[f"occupancy_{figure.name}"]
        assert (family.type, family.documentation) == (figure.type, figure.meaning)
        if figure.labels:
            assert {frozenset(sample.labels) for sample in family.samples} == {frozenset(figure.labels)}
    assert {name for name in families if name.startswith("occupancy_")} == {f"occupancy_{f.name}" for f in FIGURES}


def test_clients_can_not_invent_labels(served: Served) -> None:
    before = len(samples(served))
    for n in range(50):
        served.predict({**GOOD, f"field{n}": n})
        served.client.get(f"/path{n}")
        served.client.open("/predict", method=f"M{n}")
    assert len(samples(served)) - before <= 8


def test_without_a_model() -> None:
    served = serve_model(UnusableModel("there is none"))
    found = samples(served)
    assert found["occupancy_model_ready{}"] == 0
    assert not [name for name in found if "model_info" in name]


def test_asking_is_counted_too(served: Served) -> None:
    for _ in range(3):
        served.client.get("/metrics")
    assert samples(served)["occupancy_http_requests_total{path=/metrics,status=200}"] == 3
