"""`study report` and `study resume` through the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from loaded_modules import first_to_load
from search_world import TRIALS, Gnas, trials

from gnas_search.data.sample import write_sample
from gnas_search.study import LastRun, Study


class TestReport:
    def test_it_lies_in_the_study_or_where_it_is_told(self, gnas: Gnas, study: Path, tmp_path: Path) -> None:
        code, output, _ = gnas("study", "report", study, "--output", "json")
        assert code == 0
        said = json.loads(output)
        assert said["report"] == str(study / "report.html")
        assert said["trials"] == TRIALS
        assert (study / "report.html").stat().st_size == said["bytes"]
        code, output, _ = gnas("study", "report", study, "--out", tmp_path / "a.html")
        assert code == 0
        assert f"{tmp_path / 'a.html'}: {TRIALS} trials" in output
        assert (tmp_path / "a.html").read_bytes() == (study / "report.html").read_bytes()

    def test_no_study_and_no_place(self, gnas: Gnas, study: Path, tmp_path: Path) -> None:
        code, _, said = gnas("study", "report", tmp_path / "absent")
        assert (code, "does not exist" in said) == (2, True)
        code, _, said = gnas("study", "report", study, "--out", tmp_path)
        assert (code, "is a folder" in said) == (2, True)
        code, _, said = gnas("study", "report", study, "--out", "")
        assert (code, "the path is empty" in said) == (2, True)
        (study / "journal.log").write_text("{}\n{}\n")
        code, _, said = gnas("study", "report", study)
        assert (code, "is damaged" in said) == (8, True)


def test_to_look_at_a_study_needs_no_torch(study: Path) -> None:
    looks = [("study", name, study) for name in ("status", "leaderboard", "report")]
    assert first_to_load("torch", *looks) is None


class TestResume:
    def test_it_goes_on_as_the_last_search_was_told(self, gnas: Gnas, shop: Path, study: Path) -> None:
        LastRun(str(shop), TRIALS + 1, None, "random").write(study)  # as a search has it that did not come to its end
        code, output, said = gnas("study", "resume", study, "--output", "json")
        assert code == 0, said
        assert len(trials(output)) == TRIALS + 1
        assert f"trial {TRIALS}: ndcg@20" in said
        assert Study.load(study).trials[TRIALS].strategy == "random"
        assert json.loads(output)["study"] == str(study)
        code, output, said = gnas("study", "resume", study, "--output", "json")  # which was all
        assert (code, len(trials(output))) == (0, TRIALS + 1)

    def test_flags_are_heard_and_kept(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        moved = Path(shutil.copytree(shop, tmp_path / "moved"))
        code, output, said = gnas(
            "study", "resume", study, "--data", moved, "--budget", "0.001s", "--strategy", "random", "--output", "json"
        )
        assert code == 0, said
        assert len(trials(output)) == TRIALS
        assert LastRun.read(study) == LastRun(str(moved), None, 0.001, "random")

    def test_search_keeps_where_the_data_lies(self, made: Path, shop: Path) -> None:
        assert LastRun.read(made) == LastRun(str(shop), TRIALS, None, None)

    def test_data_that_is_not_known_gone_or_other(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        LastRun(str(tmp_path / "gone")).write(study)
        code, _, said = gnas("study", "resume", study)
        assert (code, "is no longer at" in said, "give --data" in said) == (2, True, True)
        (study / "last_run.json").unlink()
        code, _, said = gnas("study", "resume", study)
        assert (code, "does not say where its data lies" in said, "give --data" in said) == (2, True, True)
        write_sample(tmp_path / "other", num_users=100, num_items=60, seed=2)
        code, _, said = gnas("study", "resume", study, "--data", tmp_path / "other")
        assert (code, "made from other data" in said) == (3, True)
        code, _, said = gnas("study", "resume", study, "--data", shop, "--budget", "1ms")
        assert (code, "is no time up to a year" in said) == (2, True)

    @pytest.mark.parametrize(
        "content",
        [b"{", b"[]", b'{"data": 3}', b'{"data": "x", "trials": 0}', b'{"data": "x", "more": 1}', b"\xff"],
    )
    def test_a_damaged_note_of_the_last_run(self, gnas: Gnas, study: Path, content: bytes) -> None:
        (study / "last_run.json").write_bytes(content)
        code, _, said = gnas("study", "resume", study)
        assert (code, "last_run.json is unreadable" in said, "remove it" in said) == (8, True, True)
        code, _, said = gnas("study", "report", study)  # of which this is the least part
        assert code == 0, said
        assert "not kept" in (study / "report.html").read_text()

    def test_no_study(self, gnas: Gnas, tmp_path: Path) -> None:
        code, _, said = gnas("study", "resume", tmp_path / "absent")
        assert (code, "does not exist" in said) == (2, True)

    def test_a_path_of_other_bytes_than_utf8_comes_back(self, tmp_path: Path) -> None:
        told = LastRun("/data/caf\udce9", 3)
        told.write(tmp_path)
        assert LastRun.read(tmp_path) == told
        assert LastRun.read(tmp_path / "absent") is None
