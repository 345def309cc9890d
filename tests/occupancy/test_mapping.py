from pathlib import Path

import pytest

from occupancy.mapping import ColumnMapping, InvalidMapping, load_mapping


def mapping_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "own mapping.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_no_path_is_the_uci_files_own_mapping(tmp_path: Path) -> None:
    assert load_mapping("") == load_mapping(mapping_file(tmp_path, "")) == ColumnMapping()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colums: {}", "Object contains unknown field `colums`; see the mapping example in data/README.md"),
        ("columns: {Temp: t}", "columns names Temp, which is none of ours: date, Temperature, Humidity"),
        ("columns: {CO2: x, Light: x}", "columns takes 'x' for two of ours; each needs a column of its own"),
        ("columns: {CO2: Light}", "columns takes 'Light' for two of ours"),
        ("columns: [CO2]", "Expected `object`, got `array` - at `$.columns`"),
        ("temperature_unit: K", "Expected `str` matching regex '^(°C|°F|C|F)$' - at `$.temperature_unit`"),
        ("occupied: yes", "Expected `array`, got `str` - at `$.occupied`"),
        ("{occupied: [yes, no], empty: [no]}", "no stands both under occupied and under empty"),
        ("timezone: Mars/Olympus", "'Mars/Olympus' is not a time zone: expected an IANA name such as Europe/Brussels"),
        ("timezone: ../etc/passwd", "'../etc/passwd' is not a time zone"),
        ("timezone: Europe", "'Europe' is not a time zone"),
        ("a: [1\nb: }", "while parsing a flow sequence in"),
        ("just a text", "Expected `object`, got `str`"),
    ],
)
def test_a_bad_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = mapping_file(tmp_path, text)
    with pytest.raises(InvalidMapping) as caught:
        load_mapping(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidMapping, match=r"none\.yaml: No such file or directory"):
        load_mapping(str(tmp_path / "none.yaml"))


def test_a_mapping_can_run_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    path = mapping_file(tmp_path, f"columns: {{CO2: !!python/object/apply:os.mkdir [{ran}]}}")
    with pytest.raises(InvalidMapping):
        load_mapping(path)
    assert not ran.exists()
