import pytest

from gnas_export.profile import ExportProfile, profiles, ranker_mode
from gnas_serve.errors import ConfigError

GOOD = """
tables = "int8"
candidates = 50
projection = [96, 32]
neighbours = 7
[ranker]
hidden = [8, 4]
[gates]
parity = 0.001
"""


def test_every_ready_profile_loads():
    assert set(profiles()) == {"balanced", "exact", "fast", "small"}
    for name in profiles():
        assert ExportProfile.load(name).name == name


def test_exact_gives_nothing_away():
    exact = ExportProfile.load("exact")
    assert (exact.tables, exact.index, exact.projection, exact.neighbours) == ("fp32", "flat", (), 0)
    assert exact.ranker.use == "never"
    assert (exact.gates.table_recall, exact.gates.index_recall, exact.gates.top_recall) == (1, 1, 1)


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    mine = ExportProfile.load(str(tmp_path / "mine.toml"))
    assert (mine.name, mine.candidates, mine.ranker.hidden, mine.gates.parity) == ("mine", 50, (8, 4), 0.001)
    assert mine.gates.table_recall == 0.99
    assert (mine.projection, mine.neighbours) == ((32, 96), 7)


def test_an_unknown_profile_suggests_the_nearest():
    with pytest.raises(ConfigError) as caught:
        ExportProfile.load("balancd")
    assert caught.value.code == "unknown_profile"
    assert "'balanced'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tabels = "int8"', "did you mean 'tables'"),
        ("[ranker]\nhiden = [1, 2]", "did you mean 'ranker.hidden'"),
        ("[gates]\nparitty = 1", "did you mean 'gates.parity'"),
        ('tables = "int4"', "fp32, int8"),
        ("index = 3", "auto, flat, ivf"),
        ("candidates = 0", "1 to 1000"),
        ("candidates = 1001", "1 to 1000"),
        ("candidates = true", "1 to 1000"),
        ("projection = 64", "32, 64, 96, 128"),
        ("projection = [63]", "32, 64, 96, 128"),
        ("neighbours = -1", "0 for all"),
        ("neighbours = 1.5", "0 for all"),
        ("[gates]\ntop_recal = 1", "did you mean 'gates.top_recall'"),
        ("[ranker]\nhidden = [64]", "two widths"),
        ("[ranker]\nhidden = [64, 0]", "two widths"),
        ('[ranker]\nuse = "always"', "auto, never"),
        ("[gates]\nquality_loss = -1", "0 to 1"),
        ("[gates]\nquality_loss = nan", "0 to 1"),
        ("[gates]\nmax_p99_us = 0", "microseconds above 0"),
        ("[gates]\nmax_p99_us = nan", "microseconds above 0"),
        ("gates = 3", r"\[gates\]"),
        ("tables = ", "not TOML"),
    ],
)
def test_a_bad_profile_is_refused_with_file_and_key(tmp_path, text, said):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        ExportProfile.load(str(path))
    assert str(path) in caught.value.message


def test_a_profile_file_that_is_not_there():
    with pytest.raises(ConfigError, match="no such profile file"):
        ExportProfile.load("nowhere.toml")


def test_ranker_modes():
    balanced, exact = ExportProfile.load("balanced"), ExportProfile.load("exact")
    assert [ranker_mode(balanced, mode) for mode in (None, "auto", "always", "never")] == [
        "auto",
        "auto",
        "always",
        "never",
    ]
    assert ranker_mode(exact, None) == ranker_mode(exact, "auto") == "never"
    with pytest.raises(ConfigError, match="no learned ranker"):
        ranker_mode(exact, "always")
    with pytest.raises(ConfigError, match="unknown ranker mode"):
        ranker_mode(balanced, "allways")


def test_a_latency_objective_from_the_profile_or_the_command(tmp_path):
    (tmp_path / "mine.toml").write_text("[gates]\nmax_p99_us = 800\n")
    mine = ExportProfile.load(str(tmp_path / "mine.toml"))
    assert mine.gates.max_p99_us == 800.0
    assert mine.within(None) is mine
    assert mine.within(90.5).gates.max_p99_us == 90.5
    with pytest.raises(ConfigError, match="--max-p99-us"):
        mine.within(float("nan"))
