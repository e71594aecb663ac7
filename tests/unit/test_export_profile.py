import pytest

from gnas_export.limits import GateLimits
from gnas_export.profile import ExportProfile, profiles, ranker_mode
from gnas_serve.errors import ConfigError

GOOD = """
tables = "int8"
candidates = 50
projection = [96, 32]
neighbours = 7
[ranker]
hidden = [8, 4]
students = [[4, 4]]
keep = 0.75
prune = "never"
teacher = "auto"
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
    assert (mine.ranker.students, mine.ranker.keep) == (((4, 4),), 0.75)
    assert (mine.ranker.distil, mine.ranker.prune, mine.ranker.teacher) == ("auto", "never", "auto")
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
        ("[ranker]\nstudents = [64, 32]", "two widths"),
        ("[ranker]\nstudents = 64", "a list of widths"),
        ("[ranker]\nkeep = 1.5", "0 to 1"),
        ('[ranker]\ndistil = "yes"', "auto, always, never"),
        ('[ranker]\nprecision = "int4"', "auto, fp32, fp16, int8"),
        ('[ranker]\nteacher = "transformer"', "mlp, attention, auto"),
        ('[ranker]\nteecher = "auto"', "did you mean 'ranker.teacher'"),
        ("[gates]\nquality_loss = -1", "0 to 1"),
        ("[gates]\nquality_loss = nan", "0 to 1"),
        ("[gates]\nmax_p99_us = 0", "microseconds above 0"),
        ("[gates]\nmax_p99_us = nan", "microseconds above 0"),
        ("[gates]\nmax_artifact_bytes = 1.5", "a whole number above 0"),
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
    assert mine.gates.forced() == mine.gates
    assert mine.gates.forced(max_latency_us=90.5).max_p99_us == 90.5
    with pytest.raises(ConfigError, match="--max-latency-us"):
        mine.gates.forced(max_latency_us=float("nan"))


def test_limits_that_a_command_states():
    limits = GateLimits().forced(min_ann_recall=0.97, max_ndcg_drop=0.02, max_artifact_bytes=1000)
    assert (limits.index_recall, limits.blend_recall, limits.top_recall) == (0.97, 0.97, GateLimits().top_recall)
    assert (limits.quality_loss, limits.max_artifact_bytes, limits.max_p99_us) == (0.02, 1000, None)


@pytest.mark.parametrize(
    ("option", "value"),
    [("min_ann_recall", 1.1), ("max_ndcg_drop", -0.1), ("max_ndcg_drop", float("nan")), ("max_artifact_bytes", 0)],
)
def test_a_limit_out_of_its_range_names_its_option(option, value):
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')}"):
        GateLimits().forced(**{option: value})


def test_what_a_command_insists_on_of_the_ranker():
    plan = ExportProfile.load("balanced").ranker
    assert plan.forced(precision=None, distil=None, prune=None) == plan
    forced = plan.forced(precision="fp16", distil="never", prune="always")
    assert (forced.precision, forced.distil, forced.prune, forced.hidden) == ("fp16", "never", "always", plan.hidden)
    with pytest.raises(ConfigError, match="choice of --distil 'alway'"):
        plan.forced(precision=None, distil="alway", prune=None)
