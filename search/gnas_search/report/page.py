"""The page: one HTML file that asks nothing of any network and works without scripts."""

from __future__ import annotations

from pathlib import Path

from gnas_search.report.background import about, failures, time_spent
from gnas_search.report.document import BEGINNING, contents, document, section
from gnas_search.report.findings import comparison, finalists, fronts, learning, progress, settings, winner
from gnas_search.report.markup import element, joined
from gnas_search.report.models import models_of
from gnas_search.report.summary import board, verdict_of
from gnas_search.study import Study, Verdict
from gnas_serve import __version__
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, NoViableTrialError

REPORT = "report.html"


def write_report(study: Study, path: Path) -> int:
    """Write the report of a study, in the place of an earlier one and of nothing else.

    Parameters
    ----------
    study
        As it was read; it may be running.
    path
        Of the HTML file; its folder exists.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    ConfigError
        If the path is a folder, another file than a report, or within the study where its report is not; or if its
        folder does not exist.
    IntegrityError
        If the study is damaged.
    StorageError
        If the disk is full or not writable.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", hint="name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder", hint="make it first, or choose another place")
    own = study.folder / REPORT
    if path.resolve() != own.resolve() and study.folder.resolve() in path.resolve().parents:
        raise ConfigError(f"{path} lies within the study", hint=f"give {own}, or a place outside of it")
    if path.exists() and not _is_report(path):
        raise ConfigError(f"{path} is there, and no report", hint="choose another file, or remove it", code="exists")
    content = render(study).encode("utf-8")
    with storage_errors(path):
        replace_file(path, content, among_others=path.resolve() != own.resolve())
    return len(content)


def _is_report(path: Path) -> bool:
    """Tell whether a file is a report, of whatever version, or empty."""
    if not path.is_file():
        return False
    raw = path.read_bytes()
    return not raw or (raw.startswith(BEGINNING.encode()) and b"gnas-serve" in raw)


def render(study: Study) -> str:
    """Give the report as one HTML document.

    Raises
    ------
    IntegrityError
        If the study is damaged.
    """
    verdict = _verdict(study)
    models = models_of(study)
    sections = (
        ("verdict", "Verdict", verdict_of(study, verdict, models)),
        ("leaderboard", "Leaderboard", board(study)),
        ("comparison", "Against the baselines", comparison(study, models, verdict)),
        ("model", "The model", winner(study, models, verdict)),
        ("history", "History", progress(study)),
        ("learning", "Learning curves", learning(study, models)),
        ("finalists", "Finalists", finalists(study)),
        ("settings", "What mattered", settings(models, study.header.seed)),
        ("costs", "Value and cost", fronts(study, models)),
        ("failures", "Failed trials", failures(study)),
        ("time", "Time spent", time_spent(study)),
        ("about", "About this study", about(study)),
    )
    name = study.folder.absolute().name
    body = joined(
        element("header", element("h1", f"Study {name}"), contents(sections)),
        element("main", (section(*one) for one in sections)),
        element(
            "footer",
            f"gnas-serve {__version__}. Everything here is measured on validation users; the test part is untouched.",
        ),
    )
    return document(f"Study {name}", body)


def _verdict(study: Study) -> Verdict | None:
    try:
        return study.verdict
    except NoViableTrialError:
        return None
