"""Files of items that a catalogue does not have: one JSON object under the rules of the doors, and nothing else."""

from pathlib import Path

import pytest

from gnas_serve.cli.item_features import told_in
from gnas_serve.errors import ConfigError


def written(folder: Path, content: str) -> Path:
    (folder / "new.json").write_text(content, encoding="utf-8")
    return folder / "new.json"


def test_attributes_by_name_by_id(tmp_path: Path) -> None:
    told = told_in(written(tmp_path, '{"new-1": {"tags": ["a", "b"], "price": 3, "old": true, "kind": null}, "2": {}}'))
    assert told == (("new-1", (("tags", ("a", "b")), ("price", 3.0), ("old", True), ("kind", None))), ("2", ()))
    assert told_in(written(tmp_path, "{}")) == ()
    assert told_in(written(tmp_path, "\ufeff" + '{"new-1": {}}')) == (("new-1", ()),)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("null", "object"),
        ("[]", "object"),
        ('{"new": {}}, "k": 3, "user_id": 5', "JSON"),
        ('{"new": {}} {"other": {}}', "JSON"),
        ('{"new": {"price": NaN}}', "JSON"),
        ('{"new": {"price": 1e999}}', "price|JSON"),
        ('{"new": 3}', r"item_features\.new"),
        ('{"": {}}', "item_features"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_the_file(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        told_in(written(tmp_path, content))
    assert error.value.message.startswith(str(tmp_path / "new.json"))
    assert "new-1" in str(error.value.hint)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json"):
        told_in(tmp_path / "absent.json")
