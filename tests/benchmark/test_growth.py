import pytest

from benchmark import growth
from benchmark.growth import Size, table


def test_the_table_says_how_many_times_one_replica() -> None:
    sizes = [
        Size(1, 10.0, 0, cpu_ms=1.5, cores=0.015, memory_mb=[60.0], client=0.01),
        Size(2, 19.0, 1, cpu_ms=1.25, cores=0.012, memory_mb=[58.0, 64.0], client=0.02),
    ]
    assert table(sizes).rows == [
        (1, "10.0", "1.00", "1.5", "15", "60 (60 to 60)", 0, "1%"),
        (2, "19.0", "1.90", "1.2", "12", "61 (58 to 64)", 1, "2%"),
    ]


def test_without_a_cluster_one_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert growth.main([]) == 2
    assert "kubectl is not on the PATH" in capsys.readouterr().err
