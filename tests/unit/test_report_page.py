"""The report of a study: one file, whole, escaped, without a request, whatever the study holds."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_reader import Page
from toy_study import SMALL, ToySlot, go, interrupt, make_dataset

from gnas_search.evaluate import UserMetrics
from gnas_search.report import render, write_report
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.study import LastRun, Study, Verdict
from gnas_search.study.beginning import begin
from gnas_search.study.journal import WriterLock
from gnas_serve.errors import ConfigError, IntegrityError, StorageError


def _finding_nothing_by(study: Study, useless: str) -> Callable[[str], UserMetrics]:
    """Read the metrics of a study, those of one model being nothing but zeros."""
    per_user = study.per_user

    def found(name: str) -> UserMetrics:
        users = per_user(name)
        return users if name != useless else UserMetrics(np.zeros_like(users.recall), np.zeros_like(users.ndcg))

    return found


def _section(study: Study, name: str) -> str:
    """Give a section of a study's report as it is read."""
    return unescape(render(study).partition(f'id="{name}"')[2].partition("</section>")[0])


def page_of(study: Study) -> Page:
    return Page(render(study))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "study"
    go(folder, trials=8)
    return folder


@pytest.fixture(scope="module")
def page(whole: Path) -> Page:
    return page_of(Study.load(whole))


class TestAWholeStudy:
    def test_it_says_what_to_ship_and_why(self, whole: Path, page: Page) -> None:
        verdict = Study.load(whole).verdict
        assert f"{verdict.name}" in page.text
        assert re.search(r"Ship the \w+", page.text)
        assert verdict.reason in page.text

    def test_every_model_is_listed(self, whole: Path, page: Page) -> None:
        study = Study.load(whole)
        rows = sum(tag == "th" and attrs.get("scope") == "row" for tag, attrs in page.tags)
        assert rows == len(study.baselines) + len(study.blends) + len(study.ranking)

    def test_the_history_has_a_mark_per_trial(self, whole: Path) -> None:
        content = render(Study.load(whole))
        history = content.partition('id="history"')[2].partition("</section>")[0]
        assert history.count("complete: ndcg@20") == 8

    def test_it_asks_nothing_of_a_network_and_its_policy_forbids_it(self, page: Page) -> None:
        assert page.asks_nothing()

    def test_its_links_lead_somewhere(self, page: Page) -> None:
        ids = {attrs["id"] for _, attrs in page.tags if attrs.get("id")}
        links = {str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a"}
        assert links <= ids
        assert len(links) == 12

    def test_every_drawing_is_described(self, page: Page) -> None:
        for tag, attrs in page.tags:
            if tag == "svg":
                assert attrs.get("aria-label") or attrs.get("aria-hidden") == "true"

    def test_no_number_is_missing(self, page: Page) -> None:
        for tag, attrs in page.tags:
            for name, value in attrs.items():
                if tag != "meta" and name in {"d", "x", "y", "x1", "x2", "y1", "y2", "transform", "viewBox"}:
                    assert "nan" not in (value or "")
                    assert "inf" not in (value or "")

    def test_the_same_study_gives_the_same_bytes(self, whole: Path) -> None:
        assert render(Study.load(whole)) == render(Study.load(whole))


class TestOtherStudies:
    def test_without_trials(self, tmp_path: Path) -> None:
        begin(tmp_path / "study", make_dataset(), space=None, strategy=None, seed=None)
        page = page_of(Study.load(tmp_path / "study"))
        for words in ("No verdict", "No model is measured yet", "No trial was started yet", "No trial failed"):
            assert words in page.text

    def test_of_one_trial(self, tmp_path: Path) -> None:
        page = page_of(go(tmp_path / "study", trials=1))
        assert "1 measured graph filters are too few to say" in page.text
        assert "No network was trained" in page.text

    @pytest.mark.parametrize("measured", [True, False])
    def test_without_a_usable_baseline(self, whole: Path, measured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """The gain is over another model, then, and the report says over which."""
        study = Study.load(whole)
        name = study.baselines[0].name
        if not measured:
            why = "No baseline was measured."
            study.baselines = ()
        else:
            why = f"The best baseline, {name}, is not usable: it puts no held-out item into anybody's best 20."
            monkeypatch.setattr(study, "per_user", _finding_nothing_by(study, name))
        simplest = study.best_of("two-hop")
        assert simplest is not None
        assert study.verdict.against == simplest.key
        said = _section(study, "verdict")
        assert f"{why} On the same validation users it gains +" in said
        assert f" over the two-hop model {simplest.key}, the simplest usable one; with 95 % confidence" in said
        assert "best baseline," not in said.removeprefix(said.partition(why)[0] + why)
        assert ("the best of each kind" in _section(study, "comparison")) == (not measured)

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (
                "filter",
                "Nothing richer that was tried is clearly better on the validation users: ship the graph filter.",
            ),
            ("gnn", "Nothing richer was measured yet."),
        ],
    )
    def test_without_a_baseline_and_a_gain(self, whole: Path, kind: str, words: str) -> None:
        study = Study.load(whole)
        best = study.best_of(kind)
        assert best is not None
        study.baselines, study.blends = (), ()
        study.verdict = Verdict(best.key, kind, None, 0.01, f"ship {best.key}", "")
        assert f"No baseline was measured. {words}" in _section(study, "verdict")

    def test_of_networks_alone(self, tmp_path: Path) -> None:
        page = page_of(go(tmp_path / "study", trials=9, space=SearchSpace.from_json(SMALL)))
        assert page.marks("gnn") >= 9
        assert page.marks("filter") == 0

    def test_running(self, whole: Path) -> None:
        lock = WriterLock(whole)
        try:
            assert "This study is running" in page_of(Study.load(whole)).text
        finally:
            lock.release()

    def test_interrupted_in_a_trial(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "study", trials=5, slots=ToySlot({2: interrupt}))
        page = page_of(Study.load(tmp_path / "study"))
        assert "running or interrupted" in page.text

    def test_what_failed_is_said_and_escaped(self, tmp_path: Path) -> None:
        def fail() -> None:
            raise RuntimeError("<script>alert(1)</script> & \x00 so on")

        folder = tmp_path / "<b>&study"
        study = go(folder, trials=6, slots=ToySlot({3: fail}))
        LastRun("/data/<img src=x>").write(folder)
        content = render(study)
        page = Page(content)
        assert "RuntimeError: <script>alert(1)</script> & � so on" in page.text
        assert "<script>alert" not in content
        assert "<img" not in content
        assert "Study <b>&study" in page.text

    def test_of_more_trials_than_are_told_apart(self, tmp_path: Path) -> None:
        class Varied(ToySlot):
            def result(self) -> Result:
                found = super().result()
                return replace(found, seconds=0.1 + len(self.jobs) % 7, num_parameters=10 * len(self.jobs))

        study = go(tmp_path / "study", trials=24, slots=Varied(), space=SearchSpace.load("full"), strategy="random")
        content = render(study)
        page = Page(content)
        assert len(content) < 400_000
        assert "Over " in page.text
        assert "trained parameters" in page.text

    def test_damaged(self, tmp_path: Path) -> None:
        study = go(tmp_path / "study", trials=2)
        simple = study.baselines[0].name
        (study.folder / "metrics" / f"{simple}.npy").write_bytes(b"nothing")
        with pytest.raises(IntegrityError, match=simple):
            render(Study.load(study.folder))


BEFORE = "<!doctype html>\n<html>gnas-serve 0.0.1</html>"


class TestWriting:
    def test_an_earlier_report_is_replaced(self, whole: Path, tmp_path: Path) -> None:
        path = tmp_path / "a.html"
        path.write_text(BEFORE)
        size = write_report(Study.load(whole), path)
        assert path.stat().st_size == size
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert list(tmp_path.iterdir()) == [path]

    def test_nothing_else_is_replaced(self, whole: Path, tmp_path: Path) -> None:
        study, data = Study.load(whole), tmp_path / "data.csv"
        data.write_text("user,item\n")
        for path in (data, whole / "journal.log", whole / "other.html"):
            before = path.read_bytes() if path.exists() else None
            with pytest.raises(ConfigError, match=r"no report|within the study"):
                write_report(study, path)
            assert (path.read_bytes() if path.exists() else None) == before
        data.write_bytes(b"")
        assert write_report(study, data) > 0

    def test_places_that_are_none(self, whole: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is a folder"):
            write_report(Study.load(whole), tmp_path)
        with pytest.raises(ConfigError, match="is no folder"):
            write_report(Study.load(whole), tmp_path / "absent" / "a.html")

    def test_a_full_disk_leaves_the_earlier_one(
        self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.html"
        path.write_text(BEFORE)

        def full(*_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        study = Study.load(whole)
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(StorageError):
            write_report(study, path)
        assert path.read_text() == BEFORE
