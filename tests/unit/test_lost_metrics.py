"""What lost its file of metrics is measured again by the next run; one that says something else is refused at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_study import Ledger, ToySlot, go, make_dataset

from gnas_search.space import SearchSpace
from gnas_search.study import Study, leaderboard
from gnas_search.study.metrics import are_lost, metrics_path
from gnas_search.study.recovery import as_found_next
from gnas_serve.errors import IntegrityError

NETWORKS = 30
DIMS = [8, 12, 16, 20, 24]
SPACE = SearchSpace.from_json(
    {
        "genes": {"num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "embedding_dim": DIMS},
        "start": [{"layers": ["lightgcn"], "embedding_dim": 8}],
    }
)
"""Thirty networks, of which the best are trained from further seeds."""

Damage = Callable[[Path], None]


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 100)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _header_alone(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:90])


def _of_another_kind(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


DAMAGES: list[Damage] = [
    Path.unlink,
    lambda path: path.write_bytes(b"") and None,  # type: ignore[func-returns-value]
    _garbage,
    _truncated,
    _header_alone,
    _of_another_kind,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Search once; every test damages a copy."""
    folder = tmp_path_factory.mktemp("lost") / "study"
    go(folder, trials=NETWORKS, space=SPACE, strategy="grid")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def names(folder: Path) -> dict[str, str]:
    """Give a name of each kind of model whose metrics are kept."""
    study = Study.load(folder)
    assert len(study.finalists) >= 2
    return {
        "baseline": "svd",
        "trial": study.ranking[0][0].key,
        "another trial": study.ranking[-1][0].key,
        "seed": study.finalists[0].names[1],
        "blend": study.blends[0].key,
    }


def again(folder: Path, slot: ToySlot | None = None, watcher: Ledger | None = None) -> Study:
    return go(folder, trials=NETWORKS, strategy="grid", slots=slot, watcher=watcher)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_read_is_lost(folder: Path, damage: Damage) -> None:
    path = metrics_path(folder, "svd")
    assert not are_lost(folder, "svd", judged=False)
    assert are_lost(folder, "svd", judged=True)
    damage(path)
    assert are_lost(folder, "svd", judged=False)


@pytest.mark.parametrize("damage", [Path.unlink, _truncated])
@pytest.mark.parametrize("kind", ["baseline", "trial", "another trial", "seed", "blend"])
def test_what_lost_its_metrics_is_measured_again(folder: Path, kind: str, damage: Damage) -> None:
    """As it was before, and nothing else is."""
    before, name = leaderboard(Study.load(folder)), names(folder)[kind]
    damage(metrics_path(folder, name))
    slot, watcher = ToySlot(), Ledger()
    study = again(folder, slot, watcher)
    assert [len(study.per_user(one).ndcg) for one in names(folder).values()] == [slot.users] * 5
    jobs = [(job.spec.key(), job.seed) for job in slot.jobs]
    assert jobs == {
        "trial": [(name, 0)],
        "another trial": [(name, 0)],
        "seed": [(name.split(".")[0], 1)],
    }.get(kind, [])
    assert watcher.baselines == (["svd"] if kind == "baseline" else [])
    after = leaderboard(study)
    simple = [sorted(row["name"] for row in board["rows"] if row["kind"] != "blend") for board in (before, after)]
    assert simple[0] == simple[1]
    if kind != "trial":  # its second try is behind another one that is worth the same
        assert after["verdict"] == before["verdict"]
    assert len(study.repeats) == len(Study.load(folder).repeats)
    idle = ToySlot()
    again(folder, idle)
    assert not idle.jobs


def test_all_metrics_are_lost(folder: Path) -> None:
    verdict = Study.load(folder).verdict
    shutil.rmtree(folder / "metrics")
    assert again(folder).verdict == verdict


def test_one_alone_that_is_lost_is_said_with_how_to_have_it_again(folder: Path) -> None:
    metrics_path(folder, names(folder)["trial"]).unlink()
    with pytest.raises(IntegrityError) as caught:
        _ = Study.load(folder).verdict
    assert "run the search again" in caught.value.hint


def test_a_dry_run_says_what_is_measured_again_and_writes_nothing(folder: Path) -> None:
    metrics_path(folder, names(folder)["seed"]).unlink()
    content = (folder / "journal.log").read_bytes()
    study = Study.load(folder)
    found = as_found_next(folder, study.header, study.header.space.restrict(make_dataset()))
    assert len(Study(folder, study.header, found).repeats) == len(study.repeats) - 1
    assert (folder / "journal.log").read_bytes() == content


@pytest.mark.parametrize("kind", ["baseline", "trial", "seed", "blend"])
def test_metrics_that_say_something_else_are_refused_before_anything_is_trained(folder: Path, kind: str) -> None:
    path = metrics_path(folder, names(folder)[kind])
    np.save(path, 0.9 * np.load(path))
    slot = ToySlot()
    with pytest.raises(IntegrityError, match="does not have the mean") as caught:
        go(folder, trials=NETWORKS + 1, strategy="grid", slots=slot)
    assert not slot.jobs
    assert caught.value.hint == "restore it, or search into another folder"


def test_a_folder_in_the_place_of_metrics_is_refused_before_anything_is_trained(folder: Path) -> None:
    path = metrics_path(folder, names(folder)["another trial"])
    path.unlink()
    path.mkdir()
    slot = ToySlot()
    with pytest.raises(IntegrityError, match="is a folder"):
        again(folder, slot)
    assert not slot.jobs
