from benchmark import proposals
from benchmark.proposals import Later


def test_labels_of_changed_days_help_and_the_more_the_better() -> None:
    found = proposals.room(1, (20,))
    assert found.keys() == {"none", "all", "proposed 20", "random 20"}
    assert found["all"].log_loss < found["proposed 20"].log_loss < found["none"].log_loss


def test_the_table_has_means_and_counts_the_rooms() -> None:
    same = {"none": Later(0.4, 0.1), "all": Later(0.1, 0.01)}
    rooms = [
        {**same, "proposed 20": Later(0.2, 0.02), "random 20": Later(0.2, 0.04)},
        {**same, "proposed 20": Later(0.3, 0.04), "random 20": Later(0.2, 0.02)},
        {**same, "proposed 20": Later(0.1, 0.03), "random 20": Later(0.2, 0.03)},
    ]
    lines = proposals.table(rooms, (20,)).splitlines()
    assert lines[0] == "errors and log loss of 3 rooms: with no label 10.0%, 0.400; with all 1.0%, 0.100"
    assert lines[-1] == "| 20 | 3.0%, 0.200 | 3.0%, 0.200 | 1, 1 |"
