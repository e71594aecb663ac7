"""`search` and `study` through the real command line, on a small generated shop."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from search_world import SPACE, TRIALS, Gnas, rows, trials

from gnas_search.data.sample import write_sample
from gnas_search.strategies import DEFAULT_STRATEGY, NO_BETTER_THAN_RANDOM, STRATEGIES
from gnas_search.supernet import SUPERNETS, Answer, Step, Survey


class TestSearch:
    def test_goes_on_with_a_study_and_leads_with_the_baselines(self, gnas: Gnas, shop: Path, study: Path) -> None:
        code, before, _ = gnas("study", "leaderboard", study, "--output", "json")
        assert code == 0
        code, after, said = gnas("search", shop, "--out", study, "--trials", TRIALS + 1, "--output", "json")
        assert code == 0
        assert [row["kind"] for row in rows(after)][:3] == ["baseline"] * 3
        kinds = sorted(row["kind"] for row in trials(after))
        assert kinds == ["filter"] * 3 + ["gnn"] * 4 + ["two-hop"] * 2
        assert {row["name"] for row in trials(before)} < {row["name"] for row in trials(after)}
        assert f"trial {TRIALS}: ndcg@20" in said  # its number, as the leaderboard shows it
        assert "s left" not in said  # nothing is left after the last
        assert "popularity:" not in said  # not measured again
        best = max(row["ndcg@20"] for row in rows(after))
        earlier = max(row["ndcg@20"] for row in [*rows(before), *trials(after)])
        assert f"| best {earlier:.4f}" in said  # of the whole study, not of this run
        assert best >= earlier
        verdict = json.loads(after)["verdict"]
        assert [row["name"] for row in rows(after) if "verdict" in row["remark"]] == [verdict["name"]]

    def test_every_strategy_is_named_and_those_that_do_not_pay_are_said_to(self, gnas: Gnas) -> None:
        code, shown, _ = gnas("search", "--help")
        words = " ".join(word for word in shown.split() if word not in "│|")
        assert code == 0
        names, _, rest = words.partition("In 40 networks of our benchmark ")
        assert all(name in names for name in STRATEGIES)
        assert f"({DEFAULT_STRATEGY}, or the study's)" in names
        said, _, _ = rest.partition(" were no better than random")
        assert sorted(said.split(" and ")) == sorted(NO_BETTER_THAN_RANDOM)

    def test_the_same_command_gives_the_same_study(
        self, gnas: Gnas, shop: Path, space: Path, made: Path, tmp_path: Path
    ) -> None:
        _, first, _ = gnas("study", "leaderboard", made, "--output", "json")
        code, _, _ = gnas("search", shop, "--out", tmp_path / "again", "--space", space, "--trials", TRIALS)
        assert code == 0
        _, again, _ = gnas("study", "leaderboard", tmp_path / "again", "--output", "json")
        values = [[(row["name"], row["ndcg@20"]) for row in rows(output)] for output in (first, again)]
        assert values[0] == values[1]

    def test_a_budget_ends_the_run(self, gnas: Gnas, shop: Path, study: Path) -> None:
        code, output, _ = gnas("search", shop, "--out", study, "--budget", "0.001s", "--output", "json")
        assert code == 0
        assert len(trials(output)) == TRIALS

    def test_people_are_shown_every_kind(
        self, gnas: Gnas, shop: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        code, shown, said = gnas("search", shop, "--out", tmp_path / "study", "--space", space, "--trials", 14)
        assert code == 0
        for start in ("item-knn", "popularity", "svd", "filter-", "two-hop-", "gnn-"):
            assert sum(line.startswith(start) for line in shown.splitlines()) >= 1, start
        folded = "".join(shown.split())
        assert f"more:see`gnas-servestudyleaderboard{tmp_path / 'study'}`" in folded
        assert "ship " in shown
        assert "a richer model must gain at least 1%" in shown
        assert "blend:" in said  # what came of it, or that none pays
        assert {"trial 0:", "trial 1:", "trial 3:"} <= {
            " ".join(p) for p in zip(said.split(), said.split()[1:], strict=False)
        }

    def test_a_study_without_a_usable_model_is_exit_4(self, gnas: Gnas, tmp_path: Path) -> None:
        """What is held out for validation was bought by one other user alone, and is behind whatever is popular."""
        bought = np.random.default_rng(0).random((400, 150)) < 0.15
        rows = [f"{user},item-{item},train" for user, item in zip(*np.nonzero(bought), strict=True)]
        rows += ["400,rare,train", *(f"{user},rare,valid" for user in range(40))]
        rows += [f"{user},item-{np.argmin(bought[user])},test" for user in range(40)]
        (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id,split", *rows]))
        study = tmp_path / "study"
        command = ("search", tmp_path, "--out", study, "--space", "quick", "--budget", "0.001s", "--output", "json")
        code, shown, said = gnas(*command)
        assert (code, shown) == (4, ""), said
        assert "no model of the study is usable: none finds a held-out item of any validation user" in said
        assert "hint: give more interactions" in said
        assert gnas("study", "status", study)[0] == 0  # what there is of it can be looked at
        assert gnas("study", "resume", study, "--budget", "0.001s")[0] == 4

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--strategy", "tpee"], "unknown strategy 'tpee' hint: did you mean 'tpe'?"),
            (["--space", "quik"], "unknown space 'quik' hint: did you mean 'quick'?"),
            (["--budget", "10"], "--budget '10' is no time"),
            (["--budget", "0m"], "--budget '0m' is no time"),
            (["--budget", "9000h"], "--budget '9000h' is no time up to a year"),
            (["--budget", "9" * 400 + "h"], "...' is no time up to a year"),
            (["--trials", "0"], "'--trials'"),
            (["--objective", "ndgc@20"], "unknown objective 'ndgc@20' hint: did you mean 'ndcg@20'?"),
            (["--objective", "latency_us"], "'latency_us' cannot be the first"),
            (["--target-event", "purchse"], "unknown event 'purchse' hint: did you mean 'purchase'?"),
        ],
    )
    def test_usage_errors_write_nothing(
        self, gnas: Gnas, shop: Path, tmp_path: Path, arguments: list[str], expected: str
    ) -> None:
        code, _, said = gnas("search", shop, "--out", tmp_path / "study", *arguments)
        assert (code, expected in said) == (2, True), said
        assert list(tmp_path.iterdir()) == []

    def test_a_dry_run_forecasts_and_makes_nothing(
        self, gnas: Gnas, shop: Path, space: Path, study: Path, tmp_path: Path
    ) -> None:
        code, output, said = gnas("search", shop, "--dry-run", "--space", space, "--trials", 8, "--output", "json")
        assert code == 0
        assert "study created" not in said  # which is Optuna's word of one in memory
        plan = json.loads(output)
        assert plan["trials"] == {"filter": 2, "two-hop": 2, "gnn": 4}
        assert set(plan["families"]) == {"filter", "two-hop", "gnn"}
        code, shown, _ = gnas(
            "search", shop, "--dry-run", "--space", space, "--budget", "5m", "--out", tmp_path / "new"
        )
        assert code == 0
        assert "the budget would hold about" in shown
        assert "gnn, median" in shown
        assert not (tmp_path / "new").exists()
        before = sorted((path.name, path.stat().st_mtime_ns) for path in study.rglob("*"))
        code, output, _ = gnas("search", shop, "--dry-run", "--out", study, "--output", "json")
        assert code == 0
        assert json.loads(output)["families"].keys() == plan["families"].keys()
        assert sorted((path.name, path.stat().st_mtime_ns) for path in study.rglob("*")) == before
        code, _, said = gnas("search", shop, "--dry-run", "--out", study, "--seed", "5")
        assert (code, "seed = 0, not 5" in said) == (2, True)
        code, _, said = gnas("search", shop, "--space", space)
        assert (code, "--out is missing" in said) == (2, True)

    def test_a_dry_run_is_of_the_study_that_is_gone_on_with(self, gnas: Gnas, shop: Path, study: Path) -> None:
        asked = ("search", shop, "--dry-run", "--out", study, "--trials", TRIALS + 4)
        code, output, _ = gnas(*asked, "--output", "json")
        assert code == 0
        plan = json.loads(output)
        assert sum(plan["trials"].values()) == 4
        assert sum(facts["tried"] for facts in plan["families"].values()) == TRIALS
        assert [facts["starts"] for facts in plan["families"].values()] == [[], [], []]
        code, shown, _ = gnas(*asked, "--slots", 2)
        assert (code, f"4 further trials beside the study's {TRIALS}" in shown) == (0, True)
        assert "of 2 trials at a time" in " ".join(shown.split())
        code, _, said = gnas(*asked, "--objective", "recall@20")
        assert (code, "objective = 'ndcg@20', not 'recall@20'" in said) == (2, True)

    def test_several_objectives_are_answered_by_a_front(
        self, gnas: Gnas, shop: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every model is really exported and timed: what is said of its bytes is what an export of it writes."""
        out, given = tmp_path / "study", ["--objective", "ndcg@20", "--objective", "artifact_bytes"]
        monkeypatch.setenv("COLUMNS", "120")
        code, shown, said = gnas("search", shop, "--out", out, "--space", space, "--trials", 3, *given)
        assert code == 0, said
        assert "artifact_bytes" in shown
        assert "no model is better in everything than those on the front: " in shown
        assert ", artifact_bytes " in said
        _, output, _ = gnas("search", shop, "--dry-run", "--out", out, "--trials", 5, "--output", "json")
        plan = json.loads(output)
        assert plan["wall_s"] > 2 * plan["costs_s"] > 0.0  # the export of each
        _, output, _ = gnas("study", "leaderboard", out, "--output", "json")
        board = json.loads(output)
        assert board["objectives"] == ["ndcg@20", "artifact_bytes"]
        assert 1 <= len(board["front"]) < len(board["rows"])
        bytes_of = {row["name"]: row["values"]["artifact_bytes"] for row in board["rows"]}
        assert bytes_of["popularity"] == min(bytes_of.values())
        code, _, said = gnas("train", shop, "--study", out, "--trial", "svd", "--out", tmp_path / "checkpoint")
        assert code == 0, said
        options = ["--ranker", "never", "--output", "json"]
        code, _, said = gnas("export", tmp_path / "checkpoint", "--out", tmp_path / "artifact", *options)
        assert code in (0, 6), said  # what it is worth is no matter here
        if code == 0:
            size = sum(path.stat().st_size for path in (tmp_path / "artifact").iterdir())
            assert 0.5 < bytes_of["svd"] / size < 1.1  # without its report
        code, _, said = gnas("search", shop, "--out", out, "--trials", 4, "--objective", "recall@20")
        assert code == 2
        assert "was made with objective = 'ndcg@20, artifact_bytes', not 'recall@20'" in said

    def test_another_metric_leads_a_search(self, gnas: Gnas, shop: Path, space: Path, tmp_path: Path) -> None:
        options = ["--space", space, "--trials", 4, "--objective", "mrr@10", "--output", "json"]
        code, output, said = gnas("search", shop, "--out", tmp_path / "study", *options)
        assert code == 0, said
        assert "popularity: mrr@10 " in said
        found = [row["values"]["mrr@10"] for row in trials(output)]
        assert found == sorted(found, reverse=True)
        assert json.loads(output)["objective"] == "mrr@10"

    def test_a_folder_that_is_no_study(self, gnas: Gnas, shop: Path, tmp_path: Path) -> None:
        code, _, said = gnas("search", shop, "--out", tmp_path)
        assert code == 2
        assert "is no study" in said

    def test_other_settings_than_the_studys(self, gnas: Gnas, shop: Path, study: Path) -> None:
        for arguments, what in (
            (["--seed", "5"], "seed = 0, not 5"),
            (["--space", "quick"], "not"),
            (["--min-rating", "3"], "min_rating = None, not 3.0"),
        ):
            code, _, said = gnas("search", shop, "--out", study, *arguments)
            assert code == 2
            assert "was made with" in said
            assert what in said

    def test_other_data_and_a_damaged_study(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        write_sample(tmp_path / "other", num_users=100, num_items=60, seed=2)
        code, _, said = gnas("search", tmp_path / "other", "--out", study)
        assert code == 3
        assert "made from other data" in said
        header, journal = study / "study.json", study / "journal.log"
        whole = journal.read_bytes()
        journal.write_bytes(whole + b'{"no": "operation"}\n')
        code, _, said = gnas("search", shop, "--out", study, "--trials", 20)
        assert code == 8
        assert "journal.log" in said
        assert "run the same command" not in said  # which would end in the same way
        journal.write_bytes(whole)
        header.write_bytes(header.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
        code, _, said = gnas("search", shop, "--out", study)
        assert code == 8
        assert "study.json" in said

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupted_it_says_how_to_go_on(
        self, gnas: Gnas, shop: Path, tmp_path: Path, sent: signal.Signals, code: int
    ) -> None:
        space = tmp_path / "networks.toml"  # that train long enough for the signal to come while one does
        space.write_text(SPACE[: SPACE.index("[filter")].replace("epochs = 2", "epochs = 60\npatience = 60"))
        arguments = ["search", str(shop), "--out", str(tmp_path / "study"), "--space", str(space), "--trials", "200"]
        metrics = tmp_path / "study" / "metrics"

        def send_after_some_trials() -> None:
            latest = time.monotonic() + 60
            while len(list(metrics.glob("gnn-*.npy"))) < 2 and time.monotonic() < latest:
                time.sleep(0.01)
            os.kill(os.getpid(), sent)

        sender = threading.Thread(target=send_after_some_trials)
        sender.start()
        ended, _, said = gnas(*arguments)
        sender.join()
        assert (ended, "run the same command to go on" in said) == (code, True), said
        code_after, status, _ = gnas("study", "status", tmp_path / "study", "--output", "json")
        assert code_after == 0
        done = json.loads(status)["trials"]["complete"]
        assert done >= 1
        code_after, output, said = gnas(*arguments[:-1], done + 1, "--output", "json")
        assert code_after == 0, said
        assert len(trials(output)) == done + 1

    def test_its_folder_goes_while_it_runs(self, gnas: Gnas, shop: Path, tmp_path: Path) -> None:
        """The same command would begin a new one: it is not told to go on."""
        folder, metrics = tmp_path / "study", tmp_path / "study" / "metrics"

        def move_after_a_trial() -> None:
            latest = time.monotonic() + 60
            while not list(metrics.glob("filter-*.npy")) and time.monotonic() < latest:
                time.sleep(0.01)
            folder.rename(tmp_path / "elsewhere")

        mover = threading.Thread(target=move_after_a_trial)
        mover.start()
        code, _, said = gnas("search", shop, "--out", folder, "--trials", 200)
        mover.join()
        assert (code, folder.exists()) == (8, False), said
        told = " ".join(said.split())
        assert "is gone: it was moved or deleted while the search ran" in told
        assert "put it back before" in told
        assert "to go on with it" not in told

    def test_interrupted_while_its_supernet_is_trained(
        self, gnas: Gnas, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        space = tmp_path / "networks.toml"
        space.write_text(SPACE[: SPACE.index("[filter")])
        arguments = ["search", shop, "--out", tmp_path / "study", "--space", space, "--strategy", "one-shot"]
        train = SUPERNETS["one-shot"]

        def signalled(survey: Survey) -> Answer:
            def heard(step: Step) -> None:
                survey.heard(step)
                if step.done == 2:
                    os.kill(os.getpid(), signal.SIGINT)

            return train(replace(survey, heard=heard))

        with monkeypatch.context() as patched:
            patched.setitem(SUPERNETS, "one-shot", signalled)
            ended, _, said = gnas(*arguments, "--trials", 2)
        assert (ended, "run the same command to go on" in said) == (130, True), said
        assert "one-shot supernet: up to" in said
        code, output, said = gnas(*arguments, "--trials", 2, "--output", "json")
        assert (code, len(trials(output))) == (0, 2)
        assert "networks ranked" in said


class TestStudy:
    def test_people_read_tables(self, gnas: Gnas, study: Path) -> None:
        code, board, _ = gnas("study", "leaderboard", study)
        assert code == 0
        for words in ("popularity", "svd", "item-knn", "lightgcn", "two hops", "ridge", "ship ", "at least 1%"):
            assert words in board
        code, state, _ = gnas("study", "status", study)
        assert code == 0
        assert f"{TRIALS} complete" in state

    def test_status_for_programs(self, gnas: Gnas, study: Path) -> None:
        code, output, _ = gnas("study", "status", study, "--output", "json")
        assert code == 0
        state = json.loads(output)
        assert (state["running"], state["strategy"], state["trials"]["complete"]) == (False, DEFAULT_STRATEGY, TRIALS)
        assert state["data"]["config"]["target_event"] == "purchase"

    def test_no_study(self, gnas: Gnas, tmp_path: Path) -> None:
        for command in ("leaderboard", "status"):
            code, _, said = gnas("study", command, tmp_path / "absent")
            assert (code, "does not exist" in said) == (2, True)
