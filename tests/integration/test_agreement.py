"""What workers of a machine say of what they serve: who is waited for, and whose word counts no more."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gnas_serve.errors import StorageError
from gnas_serve.service import agreement as agreement_module
from gnas_serve.service.agreement import Agreement, Report
from gnas_serve.service.errors import NotReadyError

_JOINS = """
import sys
from pathlib import Path
from gnas_serve.service.agreement import Agreement
worker = Agreement(Path(sys.argv[1]))
worker.join(3)
print("joined", flush=True)
sys.stdin.read()
"""


def test_those_who_have_joined_are_heard_until_they_leave(tmp_path: Path) -> None:
    one, other = Agreement(tmp_path), Agreement(tmp_path)
    one.report(Report(1))
    assert other.reports() == []
    one.join(1)
    other.join(2)
    assert sorted(one.reports(), key=lambda report: report.revision) == [Report(1), Report(2)]
    one.report(Report(1, 3, "no room for it"))
    assert Report(1, 3, "no room for it") in other.reports()
    one.leave()
    one.report(Report(4))
    assert other.reports() == [Report(2)]
    other.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_not_heard_even_where_its_process_id_is_anothers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _JOINS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"joined\n"
        one = Agreement(tmp_path)
        assert one.reports() == [Report(3)]
        process.kill()
    # What it wrote stays, now of a process that lives: this one.
    for path in tmp_path.iterdir():
        path.rename(tmp_path / path.name.replace(str(process.pid), str(os.getpid())))
    assert len(list(tmp_path.iterdir())) == 2
    one.join(4)
    assert asyncio.run(one.reached(4)) is None
    one.leave()
    assert list(tmp_path.iterdir()) == []


def test_reports_of_before_there_were_locks_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / f"worker-{os.getpid()}.json").write_text('{"revision": 0, "refusal": null}')
    assert Agreement(tmp_path).reports() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"revision": "1"}', '{"revision": 1, "more": 2}'])
def test_a_report_that_cannot_be_read_is_passed_over(tmp_path: Path, content: str) -> None:
    one = Agreement(tmp_path)
    one.join(1)
    next(tmp_path.glob("*.json")).write_text(content)
    assert one.reports() == []
    one.report(Report(2))
    assert one.reports() == [Report(2)]
    one.leave()


def test_a_refusal_counts_for_its_own_revision_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement_module, "PATIENCE_S", 0.0)
    one = Agreement(tmp_path)
    one.join(0)
    one.report(Report(0, 1, "no room for it"))
    assert asyncio.run(one.reached(1)) == "no room for it"
    with pytest.raises(NotReadyError, match="1 of 1 workers") as late:
        asyncio.run(one.reached(2))
    assert late.value.code == "not_followed"
    one.report(Report(2))
    assert asyncio.run(one.reached(2)) is None
    one.leave()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    one = Agreement(tmp_path / "gone")
    with pytest.raises(StorageError, match="gone"):
        one.join(0)
    one.leave()


def test_who_cannot_be_asked_whether_it_lives_is_waited_for(tmp_path: Path) -> None:
    one, other = Agreement(tmp_path), Agreement(tmp_path)
    one.join(1)
    lock = next(tmp_path.glob("*.lock"))
    lock.rename(tmp_path / "aside")
    lock.mkdir()
    assert other.reports() == [Report(1)]
    one.leave()
    assert other.reports() == []
