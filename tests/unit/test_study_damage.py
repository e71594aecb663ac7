"""A study that was damaged on disk is refused with the file that is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_study import ToySlot, go, interrupt, make_dataset

from gnas_search.study import Limits, Study, leaderboard
from gnas_search.study.header import HEADER
from gnas_search.study.journal import JOURNAL
from gnas_search.study.metrics import metrics_path
from gnas_search.study.plan import plan
from gnas_serve.artifact.store import canonical_json
from gnas_serve.errors import FormatVersionError, IntegrityError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Search once; every test damages a copy."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    go(folder, trials=4)
    return folder


def rehearsed(folder: Path) -> None:
    study = Study.load(folder)
    limits = Limits.of(6, None)
    plan(make_dataset(), study.header.space, strategy="random", seed=0, limits=limits, study=study)


class TestDamage:
    @pytest.fixture
    def folder(self, made: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(made, tmp_path / "study"))

    def test_any_altered_byte_of_the_header(self, folder: Path) -> None:
        raw = (folder / HEADER).read_bytes()
        for position in range(0, len(raw), 97):
            damaged = bytearray(raw)
            damaged[position] ^= 1
            (folder / HEADER).write_bytes(bytes(damaged))
            with pytest.raises(IntegrityError):
                Study.load(folder)

    def test_a_truncated_header(self, folder: Path) -> None:
        (folder / HEADER).write_bytes((folder / HEADER).read_bytes()[:50])
        with pytest.raises(IntegrityError, match=r"study.json is unreadable"):
            Study.load(folder)

    def test_a_newer_format(self, folder: Path) -> None:
        body = json.loads((folder / HEADER).read_bytes())
        del body["digest"]
        body["format_version"] = 3
        body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
        (folder / HEADER).write_bytes(canonical_json(body))
        with pytest.raises(FormatVersionError, match="newer than 2"):
            Study.load(folder)

    def test_a_journal_damaged_in_the_middle(self, folder: Path) -> None:
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        lines[3] = b"{]\n"
        (folder / JOURNAL).write_bytes(b"".join(lines))
        with pytest.raises(IntegrityError, match=r"journal.log is damaged"):
            Study.load(folder)

    @pytest.mark.parametrize("trial", range(4))
    def test_a_journal_without_the_line_that_begins_a_trial(self, folder: Path, trial: int) -> None:
        """What follows would be of other trials, and some results of none."""
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        begun = [number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
        del lines[begun[trial]]
        (folder / JOURNAL).write_bytes(b"".join(lines))
        for call in (Study.load, lambda path: go(path, trials=5)):
            with pytest.raises(
                IntegrityError, match=rf"journal.log is damaged: line \d+ is of trial {trial}, which was not"
            ):
                call(folder)
        assert (folder / JOURNAL).read_bytes() == b"".join(lines)

    def test_a_journal_without_the_line_that_begins_a_trial_beside_others(self, folder: Path) -> None:
        """Of two that ran at a time: the end of the first is one of the second, whose own is too many."""
        text = (folder / JOURNAL).read_text()
        first, *others = [line for line in text.splitlines(keepends=True) if json.loads(line)["op_code"] >= 4]
        simple = [line for line in text.splitlines(keepends=True) if json.loads(line)["op_code"] < 4]
        ends = [line for line in others if json.loads(line).get("trial_id") == 0]
        second, *rest = [line for line in others if json.loads(line).get("trial_id") != 0]
        (folder / JOURNAL).write_text("".join([*simple, first, second, *ends, *rest]))
        assert len(Study.load(folder).ranking) == 4
        (folder / JOURNAL).write_text("".join([*simple, second, *ends, *rest]))
        with pytest.raises(IntegrityError, match="is of trial"):
            Study.load(folder)

    def test_a_journal_without_its_first_line(self, folder: Path) -> None:
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        (folder / JOURNAL).write_bytes(b"".join(lines[1:]))
        for call in (Study.load, lambda path: go(path, trials=5)):
            with pytest.raises(IntegrityError, match="line 1 is of a study that was not begun"):
                call(folder)
        assert (folder / JOURNAL).read_bytes() == b"".join(lines[1:])

    def test_a_journal_without_what_was_measured_of_a_trial(self, folder: Path) -> None:
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        measured = [number for number, line in enumerate(lines) if b'"trial_id":2,"user_attr":{"measured"' in line]
        del lines[measured[0]]
        (folder / JOURNAL).write_bytes(b"".join(lines))
        for call in (leaderboard, lambda _: go(folder, trials=5)):
            with pytest.raises(IntegrityError, match="trial 2 is complete, but what was measured of it is missing"):
                call(Study.load(folder))

    def test_metrics_that_are_missing_or_truncated(self, folder: Path) -> None:
        path = metrics_path(folder, "item-knn")
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(IntegrityError, match=r"item-knn.npy is missing or damaged"):
            _ = Study.load(folder).verdict
        path.unlink()
        with pytest.raises(IntegrityError, match=r"item-knn.npy is missing or damaged"):
            leaderboard(Study.load(folder))

    def test_metrics_with_any_bytes_cut_from_the_header(self, folder: Path) -> None:
        path = metrics_path(folder, "item-knn")
        raw = path.read_bytes()
        for start in range(0, 128, 5):
            for length in (1, 9, 40):
                path.write_bytes(raw[:start] + raw[start + length :])
                with pytest.raises(IntegrityError):
                    _ = Study.load(folder).verdict

    def test_metrics_of_other_users(self, folder: Path) -> None:
        path = metrics_path(folder, "item-knn")
        users = np.load(path)
        np.save(path, np.concatenate([users, users], axis=1))  # of the mean that the journal states
        with pytest.raises(IntegrityError, match="different numbers of users"):
            _ = Study.load(folder).verdict

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, 1.5])
    @pytest.mark.parametrize("row", [0, 1])
    def test_metrics_outside_their_range(self, folder: Path, wrong: float, row: int) -> None:
        """They would decide the verdict, and nobody would notice."""
        path = metrics_path(folder, "item-knn")
        users = np.load(path)
        users[row, 3] = wrong
        np.save(path, users)
        with pytest.raises(IntegrityError, match=r"item-knn.npy holds a value outside 0..1") as caught:
            _ = Study.load(folder).verdict
        assert caught.value.exit_code == 8

    @pytest.mark.parametrize("row", [0, 1])
    @pytest.mark.parametrize("chosen", ["baseline", "trial", "blend"])
    def test_metrics_of_another_mean_than_the_journal_states(self, folder: Path, chosen: str, row: int) -> None:
        study = Study.load(folder)
        name = {"baseline": "svd", "trial": study.ranking[0][0].key, "blend": study.blends[0].key}[chosen]
        path = metrics_path(folder, name)
        users = np.load(path)
        users[row] = 0.999 * users[row]
        np.save(path, users)
        with pytest.raises(IntegrityError, match=r"does not have the mean that the journal states"):
            study.per_user(name)

    def test_files_nested_too_deeply_and_a_folder_for_the_journal(self, folder: Path) -> None:
        header = (folder / HEADER).read_bytes()
        (folder / HEADER).write_text("[" * 100_000)
        with pytest.raises(IntegrityError, match=r"study.json is unreadable"):
            Study.load(folder)
        (folder / HEADER).write_bytes(header)
        (folder / JOURNAL).write_text("[" * 100_000 + "\n")
        for call in (Study.load, lambda path: go(path, trials=5)):
            with pytest.raises(IntegrityError, match=r"journal.log is damaged"):
                call(folder)
        assert (folder / JOURNAL).stat().st_size == 100_001
        (folder / JOURNAL).unlink()
        (folder / JOURNAL).mkdir()
        with pytest.raises(IntegrityError, match=r"journal.log is a folder"):
            Study.load(folder)

    @pytest.mark.parametrize(("left", "said"), [(None, "missing"), ("", "empty"), ('{"op_code": 0', "empty")])
    def test_a_journal_that_is_lost_is_not_begun_anew(self, folder: Path, left: str | None, said: str) -> None:
        """What was measured would be searched for again, and nobody would notice."""
        path = folder / JOURNAL
        path.unlink()
        if left is not None:
            path.write_text(left)
        calls = (Study.load, lambda path: go(path, trials=5), Study.load)
        for call in calls:
            with pytest.raises(IntegrityError, match=f"journal.log is {said}, though the study") as caught:
                call(folder)
            assert caught.value.hint == "restore it, or search into another folder"
        assert path.exists() == (left is not None)
        shutil.rmtree(folder / "metrics")  # as before the first model was measured
        assert len(Study.load(folder).trials) == 0
        assert len(go(folder, trials=1).ranking) == 1

    @pytest.mark.parametrize("wrong", [None, 1.5, [], {}, "x"], ids=repr)
    @pytest.mark.parametrize(
        "field", ["data", "space", "seed", "format_version", "data.config", "data.config.split_seed"]
    )
    def test_a_header_of_wrong_types_with_its_right_digest(self, folder: Path, field: str, wrong: object) -> None:
        body = json.loads((folder / HEADER).read_bytes())
        del body["digest"]
        *above, last = field.split(".")
        inner = body
        for name in above:
            inner = inner[name]
        inner[last] = wrong
        body["digest"] = hashlib.sha256(canonical_json(body)).hexdigest()
        (folder / HEADER).write_bytes(canonical_json(body))
        with pytest.raises(IntegrityError):
            Study.load(folder)

    @pytest.mark.parametrize("wrong", [[np.nan], ["x"], [None], [0.1, 0.2], []], ids=repr)
    def test_values_that_are_no_number_for_each_objective(self, folder: Path, wrong: list[object]) -> None:
        lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
        [line for line in lines if line.get("values")][-1]["values"] = wrong
        (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
        for call in (Study.load, rehearsed, lambda path: go(path, trials=5)):
            with pytest.raises(IntegrityError, match=r"journal.log is damaged"):
                call(folder)

    @pytest.mark.parametrize("is_running", [False, True])
    @pytest.mark.parametrize("wrong", [{"layers": ["unheard-of"]}, {"kind": "unheard-of"}, 3], ids=repr)
    def test_the_model_of_a_trial_that_is_unreadable(self, folder: Path, wrong: object, is_running: bool) -> None:
        """It is the journal that is wrong, and nothing that the run was told."""
        lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
        begun = [number for number, line in enumerate(lines) if "spec" in line.get("user_attrs", {})]
        lines[begun[-1]]["user_attrs"]["spec"] = wrong
        kept = lines[: begun[-1] + 1] if is_running else lines
        (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in kept))
        for call in (lambda path: Study.load(path).trials, rehearsed, lambda path: go(path, trials=5)):
            with pytest.raises(IntegrityError, match="a trial is unreadable"):
                call(folder)

    def test_the_model_of_a_measured_trial_that_is_missing(self, folder: Path) -> None:
        lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
        begun = [line for line in lines if "spec" in line.get("user_attrs", {})]
        del begun[-1]["user_attrs"]["spec"]
        (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
        for call in (lambda path: Study.load(path).trials, rehearsed, lambda path: go(path, trials=5)):
            with pytest.raises(IntegrityError, match="trial 3 was measured, but its model is missing"):
                call(folder)

    @pytest.mark.parametrize(
        ("attribute", "value", "said"),
        [
            ("baseline.svd", {"spec": {}}, "a baseline is unreadable"),
            ("baseline.svd", [], "a baseline is unreadable"),
            ("forecast", {"epoch_s": "x"}, "the forecast is unreadable"),
            ("blends", [{"spec": {"kind": "gnn"}}], "a blend is unreadable"),
            ("blends", [{"spec": 3}], "a blend is unreadable"),
        ],
    )
    def test_a_record_of_a_model_that_is_unreadable(
        self, folder: Path, attribute: str, value: object, said: str
    ) -> None:
        lines = [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]
        changed = [line for line in lines if attribute in line.get("user_attr", {})]
        assert len(changed) == 1
        changed[0]["user_attr"][attribute] = value
        (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
        with pytest.raises(IntegrityError, match=said):
            leaderboard(Study.load(folder)), Study.load(folder).forecast


@pytest.mark.parametrize("trial", [1, 2])
@pytest.mark.parametrize("how", ["moved", "deleted", "moved and interrupted"])
def test_a_folder_that_goes_while_a_search_runs_is_said_to_be_gone(tmp_path: Path, how: str, trial: int) -> None:
    """Whatever it was that could not be written first; nothing is made in its place."""
    folder = tmp_path / "study"

    def go_away() -> None:
        shutil.rmtree(folder) if how == "deleted" else folder.rename(tmp_path / "elsewhere")
        if "interrupted" in how:
            interrupt()

    with pytest.raises(IntegrityError, match="is gone: it was moved or deleted while the search ran") as caught:
        go(folder, trials=5, slots=ToySlot({trial: go_away}))
    assert caught.value.exit_code == 8
    assert "put it back" in caught.value.hint
    assert not folder.exists()
    if how != "deleted":
        (tmp_path / "elsewhere").rename(folder)
        assert len(go(folder, trials=5).ranking) == 5
