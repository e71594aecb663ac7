"""The shop, the space and the study that the tests of the command line share; made once, copied to be changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from search_world import SPACE, TRIALS, Gnas, calling, run

from gnas_search.data.sample import write_sample


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """The forms of a ranker are timed in a tenth of the rounds: no test here asks which of them is quickest."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gnas_export.steps.forms.TIMED_ROUNDS", 30)
        yield


@pytest.fixture(scope="module")
def short_course() -> Iterator[None]:
    """Of little data, too, rankers learn in no more epochs than of much: for tests that do not ask how well."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gnas_export.ranker.fitting._FEW_STEPS", 0)
        yield


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_sample(folder, num_users=150, num_items=80, seed=1)
    return folder


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "tiny.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def gnas(capsys: pytest.CaptureFixture[str]) -> Gnas:
    return calling(capsys)


@pytest.fixture(scope="session")
def made(shop: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two networks, two two-hop models and four filters; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    assert run("search", shop, "--out", folder, "--space", space, "--trials", TRIALS) == 0
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))
