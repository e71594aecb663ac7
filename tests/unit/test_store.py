import errno
import hashlib
import json
import os
import socket

import pytest

from gnas_serve.artifact import store
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.errors import ConfigError, FormatVersionError, IntegrityError, StorageError


def _write(path, version=1):
    with store.atomic_folder(path) as folder:
        (folder / "a.bin").write_bytes(bytes(range(256)))
        (folder / "report.json").write_text("{}")
        store.write_manifest(folder, kind="artifact", format_version=version, body={"name": "x"})
    return path


def _read(path):
    return store.read_manifest(path, kind="artifact", format_version=1)


def test_what_was_written_is_read(tmp_path):
    manifest = _read(_write(tmp_path / "art"))
    assert manifest["name"] == "x"
    assert set(manifest["files"]) == {"a.bin"}
    assert store.stored_kind(tmp_path / "art") == "artifact"


@pytest.mark.parametrize("name", ["a.bin", "manifest.json"])
def test_any_altered_byte_is_found(tmp_path, name):
    path = _write(tmp_path / "art") / name
    original = path.read_bytes()
    for position in range(len(original)):
        altered = bytearray(original)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises((IntegrityError, ConfigError)) as caught:
            _read(tmp_path / "art")
        assert isinstance(caught.value, IntegrityError), f"byte {position}: {caught.value}"
    path.write_bytes(original)
    _read(tmp_path / "art")


def test_a_report_may_change(tmp_path):
    path = _write(tmp_path / "art")
    (path / "report.json").write_text('{"seconds": 1}')
    _read(path)


def test_a_reformatted_manifest_is_not_the_manifest(tmp_path):
    path = _write(tmp_path / "art") / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    with pytest.raises(IntegrityError, match="canonical"):
        _read(path.parent)


def test_missing_truncated_and_extra_files_are_found(tmp_path):
    path = _write(tmp_path / "art")
    (path / "extra.bin").write_bytes(b"x")
    with pytest.raises(IntegrityError, match=r"extra\.bin is not in the manifest"):
        _read(path)
    (path / "extra.bin").unlink()
    (path / "a.bin").write_bytes(b"abc")
    with pytest.raises(IntegrityError, match="has 3 bytes where 256"):
        _read(path)
    (path / "a.bin").unlink()
    with pytest.raises(IntegrityError, match=r"a\.bin is missing"):
        _read(path)


def _put(path, kind):
    """Put something that is no file where one may be looked for."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.relpath(path))  # a name of a socket is short
    else:
        path.symlink_to({"link": path.parent / "a.bin", "dangling": "nothing", "folder": path.parent.parent}[kind])


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "dangling", "folder"])
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["more.bin", "deep/more.bin"])
def test_what_is_no_file_and_not_listed_is_refused(tmp_path, kind, verify, name):
    path = _write(tmp_path / "art")
    (path / "deep").mkdir()
    _put(path / name, kind)
    with pytest.raises(IntegrityError, match=r"more\.bin is not in the manifest"):
        store.read_manifest(path, kind="artifact", format_version=1, verify=verify)


@pytest.mark.parametrize("kind", ["pipe", "socket", "dangling", "folder"])
@pytest.mark.parametrize(("name", "said"), [("a.bin", "is missing"), ("report.json", "is no file")])
def test_what_is_no_file_in_the_place_of_one_is_refused(tmp_path, kind, name, said):
    path = _write(tmp_path / "art")
    (path / name).unlink()
    _put(path / name, kind)
    with pytest.raises(IntegrityError, match=f"{name} {said}"):
        _read(path)


def test_a_listed_file_may_be_a_link_into_a_store_of_blobs(tmp_path):
    path = _write(tmp_path / "art") / "a.bin"
    path.rename(tmp_path / "blob")
    path.symlink_to(tmp_path / "blob")
    _read(path.parent)
    (tmp_path / "blob").write_bytes(bytes(256))
    with pytest.raises(IntegrityError, match=r"a\.bin was altered"):
        _read(path.parent)


@pytest.mark.parametrize("name", ["report.txt", "report.json.bak", "report.", "deep/report.json", "deep/report.html"])
def test_nothing_but_the_reports_is_unlisted(tmp_path, name):
    path = _write(tmp_path / "art")
    (path / "report.html").touch()
    _read(path)
    (path / "deep").mkdir()
    (path / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match="is not in the manifest"):
        _read(path)


def test_a_newer_format_is_refused(tmp_path):
    with pytest.raises(FormatVersionError, match="version 2 is newer than 1"):
        _read(_write(tmp_path / "art", version=2))


def test_the_wrong_kind_and_no_folder_are_usage_errors(tmp_path):
    path = _write(tmp_path / "art")
    with pytest.raises(ConfigError, match="is no checkpoint but: artifact"):
        store.read_manifest(path, kind="checkpoint", format_version=1)
    with pytest.raises(ConfigError, match="does not exist"):
        _read(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no manifest\.json"):
        _read(tmp_path)


def test_a_failed_write_leaves_nothing(tmp_path):
    def fail():
        with store.atomic_folder(tmp_path / "art") as folder:
            (folder / "a").write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_never_touched(tmp_path):
    (tmp_path / "art").mkdir()
    (tmp_path / "art" / "mine").write_text("keep")
    with pytest.raises(ConfigError, match="already exists"), store.atomic_folder(tmp_path / "art"):
        pass
    assert (tmp_path / "art" / "mine").read_text() == "keep"


def test_a_full_disk_is_a_storage_error(tmp_path):
    def fill():
        with store.atomic_folder(tmp_path / "art"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../outside.bin", "/etc/hostname", "a/../../outside.bin", "..", ".", "", "./a.bin", "a//b", "..\\x", "\0"]
)
@pytest.mark.parametrize("verify", [True, False])
def test_a_manifest_that_leaves_its_folder_is_refused(tmp_path, name, verify):
    (tmp_path / "outside.bin").write_bytes(b"x")
    path = _write(tmp_path / "art") / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    manifest["files"][name] = {"sha256": store.file_sha256(tmp_path / "outside.bin"), "bytes": 1}
    _seal(path, manifest)
    with pytest.raises(IntegrityError, match=r"names a file outside of its folder"):
        store.read_manifest(path.parent, kind="artifact", format_version=1, verify=verify)


@pytest.mark.parametrize("files", [[], {"a.bin": None}, {"a.bin": {"bytes": 256}}])
def test_a_manifest_with_a_garbled_file_list_is_refused(tmp_path, files):
    path = _write(tmp_path / "art") / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    _seal(path, {**manifest, "files": files})
    with pytest.raises(IntegrityError, match="unreadable"):
        _read(path.parent)


def _seal(path, manifest):
    manifest["digest"] = hashlib.sha256(store.canonical_json(manifest)).hexdigest()
    path.write_bytes(store.canonical_json(manifest))


def test_files_and_folders_are_on_disk_before_the_folder_is_visible(tmp_path, monkeypatch):
    flushed = {}
    fsync = os.fsync

    def watch(descriptor):
        flushed[os.fstat(descriptor).st_ino] = (tmp_path / "art").exists()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with store.atomic_folder(tmp_path / "art") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.bin").write_bytes(b"x")
    made = [tmp_path / "art", tmp_path / "art" / "deep", tmp_path / "art" / "deep" / "a.bin"]
    assert [flushed.get(path.stat().st_ino) for path in made] == [False, False, False]
    assert flushed[tmp_path.stat().st_ino] is True


@pytest.mark.parametrize(
    "garbled",
    [
        b'{"metrics": 1e999, ',
        b'{"metrics": NaN, ',
        b'{"metrics": "\\ud800", ',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_garbled_manifest_is_damage(tmp_path, garbled):
    path = _write(tmp_path / "art") / "manifest.json"
    path.write_bytes(garbled + path.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="is unreadable"):
        _read(path.parent)


@pytest.mark.parametrize("place", ["file/x", "file/x/y", "/dev/null/x", "/proc/x", "/proc/x/y"])
def test_a_place_where_nothing_can_be_made_has_a_hint(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write") as caught, store.atomic_folder(tmp_path / place):
        pass
    assert "choose another place" in caught.value.hint


def test_a_folder_in_the_place_of_a_file_has_a_hint(tmp_path):
    with pytest.raises(StorageError, match="Is a directory") as caught, store.storage_errors(tmp_path):
        tmp_path.write_bytes(b"")
    assert "a folder stands where a file is needed" in caught.value.hint


@pytest.mark.parametrize("there", ["file", "link", "dangling", "pipe"])
def test_what_is_left_beside_a_file_is_replaced_and_never_written_into(tmp_path, there):
    path, mine = tmp_path / "key.json", tmp_path / "mine"
    temporary = tmp_path / "key.json.tmp"
    if there == "pipe":
        os.mkfifo(temporary)
    elif there == "file":
        temporary.write_bytes(b"half of an earlier one, longer than what comes")
    else:
        if there == "link":
            mine.write_bytes(b"mine")
        temporary.symlink_to(mine)
    replace_file(path, b"{}", synced=True)
    assert (path.read_bytes(), path.is_symlink()) == (b"{}", False)
    assert [one.name for one in tmp_path.iterdir() if one != mine] == ["key.json"]
    assert (mine.read_bytes() if mine.exists() else None) == (b"mine" if there == "link" else None)


def test_among_others_a_file_of_that_name_is_somebodys(tmp_path):
    mine = tmp_path / "report.html.tmp"
    mine.write_bytes(b"mine")
    replace_file(tmp_path / "report.html", b"<!doctype html>", among_others=True)
    assert mine.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.html.tmp"]


def test_a_signal_as_a_folder_is_made_leaves_nothing(tmp_path, monkeypatch):
    made = os.mkdir

    def interrupted(*arguments, **options):
        made(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt), store.atomic_folder(tmp_path / "art"):
        pass
    assert list(tmp_path.iterdir()) == []
