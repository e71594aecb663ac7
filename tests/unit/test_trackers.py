"""Who follows a search beside the terminal: a run per model, and no trial that fails because of it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from toy_study import Ledger, ToySlot, go, interrupt

from gnas_search.architecture import ArchitectureSpec
from gnas_search.epoch import EpochResult
from gnas_search.strategies.shortlist import Listed, Shortlist
from gnas_search.supernet import Step
from gnas_search.tracking import FanOut, RunLog, Tracker
from gnas_search.tracking.tracker import Run
from gnas_serve.cli import extras
from gnas_serve.cli.search_run import followers
from gnas_serve.errors import ConfigError, MissingExtraError

ROUND = 3
"""Trials of a study that has every family."""


class Book:
    """Runs kept in memory."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.epochs: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
        self.ended: dict[str, tuple[Mapping[str, float], str, str]] = {}

    def open(self, run: Run) -> RunLog:
        self.runs.append(run)
        return _Entry(self, run.name)


class _Entry:
    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._book.epochs.setdefault(self._name, []).append((step, values))

    def close(self, results: Mapping[str, float], state: str, reason: str) -> None:
        self._book.ended[self._name] = results, state, reason


def followed(folder: Path, book: Any, **options: Any) -> tuple[Any, list[str]]:
    lost: list[str] = []
    with FanOut(Ledger(), [Tracker("the book", book)], on_lost=lost.append) as watchers:
        study = go(folder, watcher=watchers, **options)
    return study, lost


class TestTracker:
    def test_a_run_per_model_with_its_settings_epochs_and_results(self, tmp_path: Path) -> None:
        book = Book()
        study, lost = followed(tmp_path / "study", book, trials=ROUND)
        assert lost == []
        names = [run.name for run in book.runs]
        assert set(names[:3]) == {"baseline-item-knn", "baseline-popularity", "baseline-svd"}
        assert names[3 : 3 + ROUND] == [f"{trial.number:04d}-{trial.key}" for trial in study.trials]
        assert names[3 + ROUND :] == [blend.key for blend in study.blends]
        assert len(study.blends) >= 1
        network = next(trial for trial in study.trials if trial.kind == "gnn")
        name = f"{network.number:04d}-{network.key}"
        assert book.epochs == {name: [(1, {"loss": 0.5, "ndcg@20": 0.1, "seconds": 0.01})]}  # as the toy slot says
        for run in book.runs:
            results, state, reason = book.ended[run.name]
            assert (state, reason) == ("complete", "")
            assert {"final/ndcg@20", "final/recall@20"} < set(results)
        assert book.ended[name][0]["final/ndcg@20"] == network.measured.ndcg.value
        traits = next(run.traits for run in book.runs if run.name == name)
        assert traits["num_layers"] == len(network.spec.layers)
        weights = next(run.traits for run in book.runs if run.kind == "blend")
        assert {key: value for key, value in weights.items() if key != "dims"} == {
            f"weight of {kind}": share.weight
            for share, kind in (
                (share, str(getattr(share.spec, "KIND", "gnn"))) for share in study.blends[0].spec.shares
            )
        }

    def test_failed_and_interrupted_trials_say_so(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("no room")

        book = Book()
        with pytest.raises(KeyboardInterrupt):
            followed(tmp_path / "study", book, trials=ROUND, slots=ToySlot({1: fail, 2: interrupt}))
        states = [book.ended[run.name][1:] for run in book.runs if run.name[0].isdigit()]
        assert states == [("complete", ""), ("failed", "RuntimeError: no room"), ("interrupted", "")]

    def test_what_could_not_be_made_is_a_failed_run(self) -> None:
        book = Book()
        tracker = Tracker("the book", book)
        tracker.baseline_left_out("svd", "too large")
        tracker.blend_failed("singular")
        assert book.ended == {"baseline-svd": ({}, "failed", "too large"), "blend": ({}, "failed", "singular")}

    def test_a_supernet_is_a_run_of_its_own(self) -> None:
        book = Book()
        lost: list[str] = []
        with FanOut(Ledger(), [Tracker("the book", book)], on_lost=lost.append) as watchers:
            watchers.supernet_moved("darts", Step("epoch", 1, 8, 0.5))
            watchers.supernet_ended("darts", Shortlist(reason="no time"))
            watchers.supernet_ended("one-shot", Shortlist((Listed({}, 0.2),), "", 8, 40, 12.0))
        assert lost == []
        assert [run.kind for run in book.runs] == ["supernet", "supernet"]
        assert book.ended == {
            "supernet-darts": ({}, "failed", "no time"),
            "supernet-one-shot": ({"final/shared_worth": 0.2, "final/seconds": 12.0}, "complete", ""),
        }


class TestFanOut:
    def test_a_tracker_that_fails_is_let_go_once_and_no_trial_with_it(self, tmp_path: Path) -> None:
        class Full(Book):
            def open(self, run: Run) -> RunLog:
                if len(self.runs) == 4:
                    raise OSError("disk full")
                return super().open(run)

        study, lost = followed(tmp_path / "study", Full(), trials=ROUND)
        assert [trial.state for trial in study.trials] == ["complete"] * ROUND
        assert lost == ["the book is given up, the search goes on: OSError: disk full"]

    def test_the_first_may_end_the_search(self) -> None:
        class Stopping(Ledger):
            def epoch_ended(self, number: int, epoch: EpochResult) -> None:
                raise KeyboardInterrupt

        fan = FanOut(Stopping(), [], on_lost=lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            fan.epoch_ended(0, EpochResult(1, 0.5, 0.1, 0.1))

    def test_both_hear_everything(self) -> None:
        ledger, book = Ledger(), Book()
        with FanOut(ledger, [Tracker("the book", book)], on_lost=lambda _: None) as fan:
            fan.trial_started(0, ArchitectureSpec(), 0, None)
            fan.epoch_ended(0, EpochResult(1, 0.5, 0.1, 0.1))
        assert (ledger.started, ledger.epochs) == (["gnn"], 1)
        assert [state for _, state, _ in book.ended.values()] == ["interrupted"]


class TestFollowers:
    @pytest.mark.parametrize("extra", ["tensorboard", "wandb"])
    def test_a_missing_extra_is_named(self, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda _: None)
        options: dict[str, Any] = {"tensorboard": None, "wandb": None}
        options[extra] = tmp_path / "x" if extra == "tensorboard" else "x"
        with pytest.raises(MissingExtraError, match=rf"\[{extra}\] extra: {extra} is not installed") as raised:
            followers(**options, study=tmp_path)
        assert raised.value.exit_code == 9

    def test_places_and_names_that_are_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extras, "find_spec", lambda _: object())
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match="a file"):
            followers(tmp_path / "file", None, tmp_path)
        with pytest.raises(ConfigError, match="has no name"):
            followers(None, " ", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="the [tensorboard] extra is not installed")
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from gnas_search.tracking.tensorboard import TensorboardTracker

    with FanOut(Ledger(), [TensorboardTracker(tmp_path / "board")], on_lost=pytest.fail) as watchers:
        study = go(tmp_path / "study", watcher=watchers, trials=ROUND)
    network = next(trial for trial in study.trials if trial.kind == "gnn")
    events = EventAccumulator(str(tmp_path / "board" / f"{network.number:04d}-{network.key}"))
    events.Reload()
    assert {"loss", "ndcg@20", "seconds", "final/ndcg@20", "final/recall@20"} <= set(events.Tags()["scalars"])
    assert events.Scalars("final/ndcg@20")[0].value == pytest.approx(network.measured.ndcg.value)
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert len(list((tmp_path / "board").iterdir())) == 3 + ROUND + len(study.blends)


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the [wandb] extra is not installed")
class TestWandb:
    def test_offline_runs_are_kept_in_the_study(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")
        from gnas_search.tracking.wandb import WandbTracker

        with FanOut(Ledger(), [WandbTracker("shop", tmp_path / "study")], on_lost=pytest.fail) as watchers:
            go(tmp_path / "study", watcher=watchers, trials=1)
        kept = list((tmp_path / "study" / "wandb").glob("offline-run-*/run-*.wandb"))
        assert len(kept) >= 4
        assert all(path.stat().st_size > 0 for path in kept)

    def test_without_a_key_nothing_begins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from gnas_search.tracking import wandb as tracking

        monkeypatch.setattr(tracking.wandb, "login", lambda **_: False)
        monkeypatch.setenv("WANDB_MODE", "online")
        tracking.wandb.teardown()
        logging.getLogger("wandb").setLevel(logging.ERROR)
        with pytest.raises(ConfigError, match="no API key") as raised:
            tracking.WandbTracker("shop", tmp_path)
        assert raised.value.code == "no_api_key"
