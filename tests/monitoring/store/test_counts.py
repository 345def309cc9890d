import socket
import urllib.request

import pytest

from monitoring.store.counts import FIGURES, Counts, PortTaken, expose
from tests.ports import free_port


def test_prometheus_gets_every_figure() -> None:
    counts, port = Counts(), free_port()
    end = expose(counts, port)
    try:
        counts.written, counts.lag_bytes = 3, 1024
        counts.succeeded()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            told = response.read().decode()
    finally:
        end()
    for figure in FIGURES:
        name = f"occupancy_carrier_{figure.name}"
        assert f"# TYPE {name}{'_total' * (figure.type == 'counter')} {figure.type}" in told
    assert "occupancy_carrier_written_total 3.0" in told
    assert "occupancy_carrier_lag_bytes 1024.0" in told
    assert "occupancy_carrier_last_success_timestamp_seconds 0.0" not in told


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"no metrics at port {port}"):
            expose(Counts(), port)


def test_the_counts_in_words() -> None:
    counts = Counts()
    assert str(counts) == "0 lines read, 0 stored, 0 stored before, 0 in quarantine, 0 retries"
    counts.lag_bytes = 9
    assert str(counts).endswith(", 9 bytes wait")
