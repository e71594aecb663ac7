import pytest

from gnas_serve.artifact.source_date import VARIABLE, source_date, stamp, stated_time
from gnas_serve.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "stated"),
    [("0", "1970-01-01T00:00:00Z"), ("1700000000", "2023-11-14T22:13:20Z"), ("253402300799", "9999-12-31T23:59:59Z")],
)
def test_a_moment(monkeypatch, text, stated):
    monkeypatch.setenv(VARIABLE, text)
    assert source_date() == int(text)
    assert stated_time() == stated


@pytest.mark.parametrize(
    "text", ["", " 1", "-1", "+1", "1.5", "1e9", "now", "0x10", "1_000", "253402300800", "9" * 5000, "\u0661", "²"]
)
def test_no_moment(monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    for ask in (source_date, stated_time):
        with pytest.raises(ConfigError, match=f"^{VARIABLE} is "):
            ask()


def test_files_and_folders_are_stamped(monkeypatch, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").touch()
    before = (tmp_path / "deep" / "file").stat().st_mtime
    monkeypatch.delenv(VARIABLE, raising=False)
    stamp(tmp_path)
    assert (source_date(), stated_time()) == (None, None)
    assert (tmp_path / "deep" / "file").stat().st_mtime == before
    monkeypatch.setenv(VARIABLE, "1234567890")
    stamp(tmp_path)
    assert {path.stat().st_mtime for path in (tmp_path, *tmp_path.rglob("*"))} == {1234567890}


def test_nothing_is_stamped_through_a_link(monkeypatch, tmp_path):
    folder, mine = tmp_path / "a", tmp_path / "mine"
    folder.mkdir()
    mine.touch()
    before = mine.stat().st_mtime
    (folder / "link").symlink_to(mine)
    (folder / "dangling").symlink_to("nothing")
    (folder / "file").touch()
    monkeypatch.setenv(VARIABLE, "1234567890")
    stamp(folder)
    assert mine.stat().st_mtime == before
    assert (folder / "file").stat().st_mtime == folder.stat().st_mtime == 1234567890
