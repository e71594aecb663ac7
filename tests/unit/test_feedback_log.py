"""The log of feedback: what is acknowledged stands there once, whatever happened before and beside."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from feedback_events import Opened, event, ids_in

from gnas_serve.artifact.file_lock import TurnLock
from gnas_serve.errors import FormatVersionError, IntegrityError, RequestError, StorageError
from gnas_serve.feedback.frame import encode
from gnas_serve.feedback.segments import HEADER
from gnas_serve.feedback.writer import LOCK

FIRST, SECOND = "feedback-00000001.log", "feedback-00000002.log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "volume" / "log"


def numbered(*numbers: int | str) -> list[str]:
    return [f"e-{number}" for number in numbers]


class TestAppending:
    def test_events_stand_in_their_order_and_are_told(self, folder: Path) -> None:
        with Opened(folder) as opened:
            assert opened.append(1, 2) == (2, 0)
            assert opened.append(3) == (1, 0)
            assert opened.told_ids() == ids_in(folder) == numbered(1, 2, 3)
            assert opened.told[0] == event(1)

    def test_the_same_id_is_the_same_event(self, folder: Path) -> None:
        with Opened(folder) as opened:
            assert opened.append(1, 1, 2) == (2, 1)
            assert opened.append(2, 1) == (0, 2)
            again = opened.log.append([event(1, item_id=9)])
            assert (again.written, again.duplicates) == (0, 1)
            assert opened.told_ids() == ids_in(folder) == numbered(1, 2)
            assert opened.told[0].item_id == 2003

    def test_a_duplicate_after_a_restart(self, folder: Path) -> None:
        with Opened(folder) as opened:
            opened.append(1, 2)
        with Opened(folder) as opened:
            assert opened.told_ids() == numbered(1, 2)
            assert opened.append(2, 3) == (1, 1)
        assert ids_in(folder) == numbered(1, 2, 3)

    def test_beyond_the_window_an_id_is_a_new_one(self, folder: Path) -> None:
        with Opened(folder, window=3) as opened:
            opened.append(1, 2, 3)
            assert opened.append(1) == (0, 1)
            opened.append(4)
            assert opened.append(2, 1) == (1, 1)
        with Opened(folder, window=3) as opened:
            assert opened.append(3, 4, 1) == (0, 3)
            assert opened.append(2) == (1, 0)

    @pytest.mark.parametrize("window", [1, 2, 3, 5, 8, 9, 20])
    def test_of_a_long_log_the_latest_are_told_and_known_after_a_restart(self, folder: Path, window: int) -> None:
        with Opened(folder, segment_bytes=400) as opened:
            for number in range(0, 18, 2):
                opened.append(number, number + 1)
        with Opened(folder, window=window) as opened:
            told = opened.told_ids()
            assert told == numbered(*range(18))[-len(told) :]
            assert len(told) >= min(window, 18)
            latest = range(max(18 - window, 0), 18)
            assert opened.append(*latest) == (0, len(latest))
            assert opened.append("new") == (1, 0)

    def test_one_that_is_not_as_it_should_be_keeps_the_whole_call_out(self, folder: Path) -> None:
        with Opened(folder) as opened:
            with pytest.raises(RequestError, match="user_id"):
                opened.log.append([event(1), event(2, user_id="")])
            assert ids_in(folder) == []

    def test_nothing_to_write_is_done(self, folder: Path) -> None:
        with Opened(folder) as opened:
            assert opened.append() == (0, 0)

    def test_events_of_many_calls_wait_for_the_disk_together(self, folder: Path) -> None:
        with Opened(folder) as opened:
            lock = TurnLock(folder / LOCK)
            with lock.held():  # the disk of somebody else takes its time
                first = opened.log.submit([event("first")])
                results = [opened.log.submit([event(number), event(number // 2)]) for number in range(200)]
                before = opened.log.commits
            lock.close()
            done = [result.result(10) for result in (first, *results)]
            assert opened.log.commits - before <= 3
            assert sum(one.written for one in done) == 201
            assert sum(one.duplicates for one in done) == 200
        assert sorted(ids_in(folder)) == sorted(numbered("first", *range(200)))

    def test_an_event_loop_waits_without_standing_still(self, folder: Path) -> None:
        async def ask(opened: Opened) -> int:
            calls = [asyncio.wrap_future(opened.log.submit([event(number)])) for number in range(50)]
            return sum(done.written for done in await asyncio.gather(*calls))

        with Opened(folder) as opened:
            assert asyncio.run(ask(opened)) == 50

    def test_who_gives_up_early_is_not_written(self, folder: Path) -> None:
        with Opened(folder) as opened:
            lock = TurnLock(folder / LOCK)
            with lock.held():
                first = opened.log.submit([event("first")])
                while opened.log._queue:  # until the first call waits for the lock
                    time.sleep(0.001)
                later = opened.log.submit([event("later")])
                assert later.cancel()
            lock.close()
            first.result(10)
            while opened.log._queue:  # until there is nothing else to write
                time.sleep(0.001)
            assert opened.append("last") == (1, 0)
        assert ids_in(folder) == numbered("first", "last")

    def test_a_disk_that_takes_too_long_is_said_to(self, folder: Path) -> None:
        with Opened(folder) as opened:
            lock = TurnLock(folder / LOCK)
            with lock.held():
                with pytest.raises(StorageError, match=r"not on the disk after 0\.05 s") as caught:
                    opened.log.append([event(1)], timeout_s=0.05)
                assert caught.value.code == "feedback_busy"
                most = opened.log.submit([event(number) for number in range(20_000)])
                with pytest.raises(StorageError, match="wait for the disk") as caught:
                    opened.log.submit([event("more")])
                assert caught.value.code == "feedback_busy"
            lock.close()
            assert most.result(30).duplicates == 1
            assert opened.append(1, "more") == (1, 1)

    def test_a_closed_log_takes_nothing(self, folder: Path) -> None:
        with Opened(folder) as opened:
            opened.log.submit([event(1)])
        assert ids_in(folder) == numbered(1)
        with pytest.raises(StorageError, match="closed"):
            opened.append(2)


class TestSharing:
    def test_what_one_appends_another_hears_of(self, folder: Path) -> None:
        with Opened(folder) as one, Opened(folder) as other:
            one.append(1, 2)
            assert other.told == []
            other.log.poll()
            assert other.told_ids() == numbered(1, 2)
            other.log.poll()
            assert other.append(2, 3) == (1, 1)
            one.log.poll()
            assert one.told_ids() == other.told_ids() == numbered(1, 2, 3)

    def test_an_append_hears_of_all_before_it(self, folder: Path) -> None:
        with Opened(folder) as one, Opened(folder) as other:
            one.append(1)
            assert other.append(1) == (0, 1)
            assert other.told_ids() == numbered(1)

    def test_segments_are_begun_anew_and_followed(self, folder: Path) -> None:
        with Opened(folder, segment_bytes=400) as one, Opened(folder, segment_bytes=400) as other:
            for number in range(12):
                (one if number % 3 else other).append(number)
            one.log.poll()
            other.log.poll()
            assert one.told_ids() == other.told_ids() == ids_in(folder) == numbered(*range(12))
        sizes = [path.stat().st_size for path in sorted(folder.glob("*.log"))]
        assert len(sizes) > 2
        assert max(sizes) <= 400
        with Opened(folder, segment_bytes=400) as again:
            assert again.told_ids() == numbered(*range(12))
            assert again.append(*range(13)) == (1, 12)

    def test_a_lock_file_that_was_removed_is_made_again(self, folder: Path) -> None:
        with Opened(folder) as one, Opened(folder) as other:
            (folder / LOCK).unlink()
            one.append(1)
            assert other.append(1, 2) == (1, 1)
            assert (folder / LOCK).exists()

    @pytest.mark.parametrize("how", ["removed", "emptied", "replaced"])
    def test_a_segment_that_somebody_took_away_is_not_written_to(self, folder: Path, how: str) -> None:
        with Opened(folder) as opened, Opened(folder) as other:
            opened.append(1)
            path = folder / FIRST
            if how == "emptied":
                os.truncate(path, 0)
            else:
                path.unlink()
            if how == "replaced":
                path.write_bytes(HEADER)
            assert opened.append(1, 2) == (1, 1)
            other.log.poll()
            assert other.append(2, 3) == (1, 1)
        assert [line[18:].split(b",")[0] for line in (folder / SECOND).read_bytes().split(b"\n")[1:-1]] == [
            b'["e-2"',
            b'["e-3"',
        ]

    def test_a_folder_that_was_taken_away_and_is_back_is_written_to(self, folder: Path) -> None:
        with Opened(folder) as opened:
            opened.append(1)
            shutil.rmtree(folder)
            for number in (2, 3):
                with pytest.raises(StorageError):
                    opened.append(number)
            folder.mkdir(mode=0o700)
            assert opened.append(1, 2, 3) == (2, 1)
            assert ids_in(folder) == numbered(2, 3)
        with Opened(folder) as opened:
            assert opened.told_ids() == numbered(2, 3)


class TestTornTails:
    def test_cut_anywhere_in_the_last_event_all_others_stay(self, folder: Path) -> None:
        with Opened(folder) as opened:
            opened.append(1, 2, 3)
        whole = (folder / FIRST).read_bytes()
        last = len(encode(event(3)))
        for torn in range(last):
            (folder / FIRST).write_bytes(whole[: len(whole) - last + torn])
            (folder / SECOND).unlink(missing_ok=True)
            with Opened(folder) as opened:
                assert opened.told_ids() == numbered(1, 2), torn
                assert opened.append(2, 3, 4) == (2, 1)
            assert ids_in(folder) == numbered(1, 2, 3, 4)
            assert (folder / SECOND).exists() == (torn > 0)
            if torn:
                assert (folder / FIRST).read_bytes() == whole[: len(whole) - last]

    def test_readers_of_the_torn_bytes_follow(self, folder: Path) -> None:
        with Opened(folder) as opened, Opened(folder) as reader:
            opened.append(1)
            with (folder / FIRST).open("ab") as stream:  # as of a process that was killed while it wrote
                stream.write(encode(event(9))[:-5])
            reader.log.poll()
            opened.append(2)
            reader.log.poll()
            assert reader.told_ids() == opened.told_ids() == numbered(1, 2)

    @pytest.mark.parametrize("damage", [b"garbage\n", b"\0" * 300, b"\0" * 300 + b"\n", b"\n\n"])
    def test_damage_between_events_costs_no_other(self, folder: Path, damage: bytes) -> None:
        with Opened(folder) as opened:
            opened.append(1, 2)
        path = folder / FIRST
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([lines[0], lines[1], damage, lines[2], encode(event(3))]))
        with Opened(folder) as opened:
            # What has no line feed of its own takes the event behind it with it.
            kept = numbered(1, 2, 3) if damage.endswith(b"\n") else numbered(1, 3)
            assert opened.told_ids() == kept
            assert opened.log.damaged >= 1
            assert opened.append(1, 3, 4) == (1, 2)


class TestFolder:
    def test_it_is_private(self, folder: Path) -> None:
        before = os.umask(0)
        try:
            with Opened(folder) as opened:
                opened.append(1)
        finally:
            os.umask(before)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    def test_a_link_and_a_folder_of_everybody_are_refused(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder.parent / "link").symlink_to(folder)
        with pytest.raises(StorageError, match="is a link"):
            Opened(folder.parent / "link")
        folder.chmod(0o777)
        with pytest.raises(StorageError, match="writable by others"):
            Opened(folder)
        assert list(folder.iterdir()) == []

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "log").write_text("mine")
        with pytest.raises(StorageError, match="File exists"):
            Opened(tmp_path / "log")
        assert (tmp_path / "log").read_text() == "mine"

    def test_other_files_are_left_alone(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        (folder / "notes.txt").write_text("mine")
        (folder / "feedback-1.log").write_text("mine, too")
        with Opened(folder) as opened:
            opened.append(1)
        assert (folder / "notes.txt").read_text() == "mine"
        assert (folder / "feedback-1.log").read_text() == "mine, too"

    @pytest.mark.parametrize("kind", ["text", "empty", "folder", "pipe", "link"])
    @pytest.mark.parametrize("name", [FIRST, SECOND])
    def test_what_has_the_name_of_a_segment_and_is_none(self, folder: Path, kind: str, name: str) -> None:
        with Opened(folder) as opened:
            opened.append(1)
        path, target = folder / name, folder.parent / "target"
        (folder / FIRST).rename(target) if name == FIRST else target.write_bytes(HEADER)
        before = target.read_bytes()
        if kind == "text":
            path.write_text("mine")
        elif kind == "empty":
            path.touch()
        elif kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(target)
        with pytest.raises((IntegrityError, StorageError), match=name):
            Opened(folder)
        assert target.read_bytes() == before

    def test_a_foreign_segment_while_it_runs_keeps_nothing_of_what_is_there_from_being_heard(
        self, folder: Path
    ) -> None:
        with Opened(folder) as opened, Opened(folder) as other:
            other.append(1)
            (folder / SECOND).write_text("mine")
            with pytest.raises(IntegrityError, match=SECOND):
                opened.log.poll()
            assert opened.told_ids() == numbered(1)
            with pytest.raises(IntegrityError, match=SECOND):
                opened.append(2)
            (folder / SECOND).unlink()
            assert opened.append(1, 2) == (1, 1)

    def test_a_newer_format(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        (folder / FIRST).write_bytes(HEADER.replace(b"1", b"2"))
        with pytest.raises(FormatVersionError, match="newer than 1"):
            Opened(folder)

    def test_a_place_where_nothing_can_be_made(self) -> None:
        with pytest.raises(StorageError, match="cannot be used"):
            Opened(Path("/proc/feedback"))

    @pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can mount")
    def test_a_folder_that_may_only_be_read(self, folder: Path, tmp_path: Path) -> None:
        with Opened(folder) as opened:
            opened.append(1)
        code = (
            "import sys; from pathlib import Path; from feedback_events import Opened\n"
            "from gnas_serve.errors import StorageError\n"
            "try: Opened(Path(sys.argv[1]))\n"
            "except StorageError as error: print(error.code, error)\n"
        )
        script = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}" && exec "$@"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", code, str(folder)],
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{os.environ.get('PYTHONPATH', '')}"},
            capture_output=True,
            text=True,
        )
        if "mount" in done.stderr or "unshare" in done.stderr:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("feedback_storage")
        assert "Read-only file system" in done.stdout
        assert ids_in(folder) == numbered(1)
