"""An interrupted export goes on after its last finished step, and makes what an undisturbed one makes."""

import errno
import os
import shutil
from dataclasses import replace

import pytest
from export_resumption import ALL, KEY, NAMES, Kept, names
from export_runs import ALONE, LIMITS, PROFILE, files, run, without_vectors_for_taste
from planted_checkpoint import blended_checkpoint, planted_checkpoint

from gnas_export import pipeline
from gnas_export.decisions import Decision, Decisions
from gnas_export.pipeline import AGAIN, PACKAGE
from gnas_export.work.step_record import sealed, unsealed
from gnas_export.work.workbook import Workbook, work_folder
from gnas_serve.errors import ConfigError, QualityGateError, StorageError

SMALL = {"num_users": 150, "num_items": 90}
FORMS = replace(PROFILE, candidates=30, ranker=replace(ALONE, students=((8, 4),), distil="auto"))
ATTENTIVE = replace(FORMS, ranker=replace(FORMS.ranker, teacher="attention"))
IVF = replace(
    PROFILE, candidates=30, index="ivf", gates=replace(LIMITS, index_recall=0.3, top_recall=0.3, blend_recall=0.3)
)

pytestmark = pytest.mark.usefixtures("short_course")


@pytest.fixture(scope="module")
def trained():
    return without_vectors_for_taste(**SMALL)


@pytest.fixture(scope="module")
def interrupted(trained, short_course, tmp_path_factory):
    """The work of an export that was interrupted before its last checks, to be copied."""
    out = tmp_path_factory.mktemp("interrupted") / "a"
    assert Kept(trained, out, stop="package").made is None
    return work_folder(out)


@pytest.fixture
def out(interrupted, tmp_path):
    shutil.copytree(interrupted, work_folder(tmp_path / "a"))
    return tmp_path / "a"


@pytest.mark.parametrize(
    ("checkpoint", "profile", "ranker"),
    [
        (without_vectors_for_taste(**SMALL), FORMS, "always"),
        (without_vectors_for_taste(**SMALL), ATTENTIVE, "always"),
        (blended_checkpoint(**SMALL), replace(PROFILE, candidates=30, neighbours=6), "never"),
        (planted_checkpoint(**SMALL, valid_per_user=0), IVF, "auto"),
    ],
    ids=["every form of the ranker", "a teacher that does not ship", "a blend with links", "an index, and no labels"],
)
def test_an_export_that_is_interrupted_before_every_step(tmp_path, checkpoint, profile, ranker):
    out, ran = tmp_path / "a", []
    for place, name in enumerate(ALL[1:], start=1):
        export = Kept(checkpoint, out, profile, ranker=ranker, stop=name)
        assert export.ran == [NAMES[place - 1]]  # each of them from what the folder had, and nothing twice
        assert export.said == ([f"going on after {NAMES[place - 2]} (kept by an interrupted export)"] if ran else [])
        assert export.warned == []
        ran += export.ran
    last = Kept(checkpoint, out, profile, ranker=ranker)
    assert [*ran, *last.ran] == ALL
    assert names(tmp_path) == ["a"]
    steps = last.made.report["steps"]
    assert [step["name"] for step in steps] == NAMES
    assert all(step["resumed"] and step["seconds"] > 0 for step in steps)

    repeated = Decisions.read(out / "decisions.json", profile=profile, ranker=ranker)
    undisturbed = run(checkpoint, tmp_path / "b", profile, ranker, decisions=repeated)
    assert files(out) == files(undisturbed.path)
    assert not any("resumed" in step for step in undisturbed.report["steps"])


def test_keeping_changes_no_byte(trained, tmp_path):
    kept = Kept(trained, tmp_path / "a")
    repeated = Decisions.read(tmp_path / "a" / "decisions.json", profile=PROFILE, ranker="auto")
    run(trained, tmp_path / "b", decisions=repeated)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (kept.ran, kept.said, kept.warned) == (ALL, [], [])


# What people see of the folder is the artifact's: it must not hold what the checkpoint holds already.
def test_what_the_checkpoint_holds_is_not_written_again(tmp_path):
    trained = planted_checkpoint(num_users=4000, num_items=50, dim=64, valid_per_user=0, with_features=False)
    exact = replace(PROFILE, tables="fp32", index="flat", candidates=10, gates=replace(LIMITS, table_recall=0.0))
    export = Kept(trained, tmp_path / "a", exact, ranker="never", stop="package")
    vectors = trained.final.user_vectors.nbytes
    assert sum(path.stat().st_size for path in export.folder.iterdir()) < vectors / 4


def test_a_draft_that_is_sent_back_and_interrupted_before_every_step(tmp_path, monkeypatch):
    # What the gate would need to be breached is not to be planted: the answer to its breach is given by hand.
    def wider(draft):
        return draft.decisions.revised({"tables": Decision("fp16", "by hand")}) if draft.width == "int8" else None

    monkeypatch.setattr(pipeline, "less_compressed", wider)
    trained, out, ran = planted_checkpoint(**SMALL), tmp_path / "a", []
    for name in [*NAMES[1:], *NAMES, PACKAGE]:
        export = Kept(trained, out, ranker="never", stop=name)
        ran += export.ran
        records = sorted(path.name[4:] for path in export.folder.glob("*.json") if path.name != "key.json")
        assert len(records) == (len([one for one in ran if one != AGAIN]) - 1) % len(NAMES) + 1  # of one round
    last = Kept(trained, out, ranker="never")
    assert [*ran, *last.ran] == [*NAMES, AGAIN, AGAIN, *NAMES, PACKAGE]  # interrupted after it was sent back, too
    assert [step["name"] for step in last.made.report["steps"]] == [*NAMES, *NAMES]
    undisturbed = run(trained, tmp_path / "b", ranker="never")
    assert files(out) == files(undisturbed.path)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "removed", "empty"])
@pytest.mark.parametrize(
    ("name", "begins_with"),
    [
        ("015-judge.json", "judge"),
        ("008-draw_forms.npys", "draw_forms"),
        ("006-train_ranker.json", "package"),  # later records are whole without it
        ("000-choose_users.npys", "choose_users"),
    ],
)
def test_damaged_work(trained, out, name, begins_with, damage):
    path = work_folder(out) / name
    raw = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    elif damage == "flipped":
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)
    else:
        path.write_bytes(raw[: len(raw) // 2] if damage == "truncated" else b"")
    export = Kept(trained, out, stop=begins_with)  # what it would begin with, and no more
    assert export.ran == []
    is_told = any("is damaged" in line for line in export.said)
    assert is_told == (begins_with != "package" and (damage != "removed" or name.endswith(".npys")))


@pytest.mark.parametrize(
    ("file", "is_listed"), [("../evil.npys", True), ("../evil.npys", False), ("009-other.npys", False)]
)
@pytest.mark.parametrize("is_nested", [True, False])
def test_a_record_reads_what_it_lists_and_what_an_export_keeps(trained, out, file, is_listed, is_nested):
    """Sealed again as anybody can: the digest of a record says that it is whole, not whose it is."""
    folder = work_folder(out)
    path = folder / "015-judge.json"
    record = unsealed(path.read_bytes())
    fold_in = record["draft"]["final"]["fold_in"]
    name, start = fold_in["at"]
    shutil.copy(folder / name, folder / file)
    leaf = {**fold_in, "at": [file, start]}
    record["draft"]["final"]["fold_in"] = {"$": "lists", "at": [name, leaf]} if is_nested else leaf
    if is_listed:
        record["files"][file] = record["files"][name]
    path.write_bytes(sealed(record))
    export = Kept(trained, out, stop="judge")
    assert export.ran == []
    assert any(f"{file!r}" in line and "is damaged" in line for line in export.said)


@pytest.mark.parametrize("name", ["008-draw_forms.npys", "015-judge.json", "key.json.tmp", "lock"])
def test_a_link_is_nothing_that_an_export_keeps(trained, out, name):
    path, mine = work_folder(out) / name, out.with_name("mine")
    content = path.read_bytes() if path.exists() else b"mine"
    mine.write_bytes(content)
    path.unlink(missing_ok=True)
    path.symlink_to(mine)
    export = Kept(trained, out, stop="choose_users")
    assert f"it holds {name}" in export.warned[0]
    assert (mine.read_bytes(), path.is_symlink()) == (content, True)


@pytest.mark.parametrize("whose", ["another's", "the group's", "everybody's"])
def test_work_that_others_may_have_written_is_not_gone_on_with(trained, out, monkeypatch, whose):
    folder = work_folder(out)
    before = names(folder)
    if whose == "another's":
        others = os.geteuid() + 1
        monkeypatch.setattr("gnas_export.work.lock.os.geteuid", lambda: others)
    else:
        folder.chmod(0o775 if whose == "the group's" else 0o777)
    export = Kept(trained, out, stop="choose_users")
    assert (export.ran, export.said) == ([], [])
    assert ("belongs to another user" if whose == "another's" else "others may write to it") in export.warned[0]
    assert names(folder) == before


def test_the_folder_is_ones_own_whatever_the_umask(trained, tmp_path):
    before = os.umask(0)
    try:
        Kept(trained, tmp_path / "a", stop="compress_tables")
    finally:
        os.umask(before)
    export = Kept(trained, tmp_path / "a", stop="compress_tables")
    assert export.said == ["going on after compress_neighbours (kept by an interrupted export)"]


def test_what_goes_on_from_damaged_work_is_whole(trained, out, tmp_path):
    (work_folder(out) / "009-weigh_forms.npys").write_bytes(b"half")
    export = Kept(trained, out)
    assert export.ran == ALL[ALL.index("weigh_forms") :]
    steps = export.made.report["steps"]
    assert [step.get("resumed", False) for step in steps] == [True] * 9 + [False] * 7
    repeated = Decisions.read(out / "decisions.json", profile=PROFILE, ranker="auto")
    run(trained, tmp_path / "b", decisions=repeated)
    assert files(out) == files(tmp_path / "b")


def test_a_record_of_another_export_is_not_read(trained, out):
    path = work_folder(out) / "015-judge.json"
    other = Kept(trained, out.with_name("other"), key={"of": "others"}, stop="compress_neighbours")
    path.write_bytes((other.folder / "000-choose_users.json").read_bytes())
    export = Kept(trained, out, stop="judge")
    assert "of another export" in export.said[0]
    assert export.ran == []


def test_another_key_begins_anew(trained, out):
    export = Kept(trained, out, key={"of": "others"}, stop="compress_tables")
    assert export.said == ["what an interrupted export kept is removed: it was made with other: of"]
    assert export.ran == ["choose_users", "compress_neighbours"]
    assert not list(export.folder.glob("01*"))


def test_fresh_begins_anew(trained, out):
    export = Kept(trained, out, fresh=True, stop="compress_neighbours")
    assert export.said == ["what an interrupted export kept is removed: --fresh"]
    assert export.ran == ["choose_users"]


def test_a_second_export_to_the_same_output_is_refused(trained, out):
    before = names(work_folder(out))
    with Workbook.opened(out, KEY, fresh=False, say=print, warn=print):
        with pytest.raises(ConfigError, match="another export to this output is running") as refused:
            Kept(trained, out)
        assert names(work_folder(out)) == before
    assert refused.value.exit_code == 2


def test_a_failed_gate_leaves_no_work(tmp_path):
    limits = replace(LIMITS, index_recall=0.01, top_recall=0.01, quality_loss=0.0)
    blunt = replace(PROFILE, index="ivf", candidates=20, gates=limits)
    with pytest.raises(QualityGateError, match="gate quality"):
        Kept(planted_checkpoint(), tmp_path / "deep" / "a", blunt, ranker="never")
    assert names(tmp_path / "deep") == ["a.report.html", "a.report.json"]


def test_a_full_disk_leaves_the_work(trained, out, monkeypatch):
    def full(*_):
        raise StorageError("cannot write: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("gnas_export.pipeline.write_files", full)
        with pytest.raises(StorageError):
            Kept(trained, out)
    assert Kept(trained, out).ran == ["package"]


def test_what_a_killed_export_was_packing_goes(trained, tmp_path):
    """Killed while it packs, an export cannot remove the folder that it packs in; the next one to its output does."""
    half, others = tmp_path / ".a.k3_9abcd", tmp_path / ".a.abcdefgh"
    for folder, name in ((half, "items.vectors.npy"), (others, "mine.txt"), (tmp_path / ".ab.abcdefgh", "index.faiss")):
        folder.mkdir()
        (folder / name).touch()
    (tmp_path / ".a.12345678").write_text("a file")
    (tmp_path / ".a.linklink").symlink_to(tmp_path / ".ab.abcdefgh")
    before = names(tmp_path)
    export = Kept(trained, tmp_path / "a", ranker="never")
    assert export.said == [f"{half} is removed: an interrupted export was packing there"]
    assert names(tmp_path) == sorted({*before, "a"} - {half.name})


def test_no_room_to_keep_anything(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "gnas_export.work.workbook.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 0)
    )
    export = Kept(trained, tmp_path / "a", ranker="never")
    assert len(export.warned) == 1
    assert "0 bytes are free" in export.warned[0]
    assert export.made is not None
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", ["file", "link", "others"])
def test_a_folder_that_is_not_ours(trained, tmp_path, there):
    place = work_folder(tmp_path / "a")
    if there == "file":
        place.write_text("mine")
    elif there == "link":
        (tmp_path / "target").mkdir()
        place.symlink_to(tmp_path / "target")
    else:
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    before = names(tmp_path)
    export = Kept(trained, tmp_path / "a", ranker="never")
    assert len(export.warned) == 1
    assert names(tmp_path) == sorted([*before, "a"])
    if there == "others":
        assert names(place) == ["notes.txt"]


def test_a_file_system_without_locks_keeps_nothing(trained, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("gnas_serve.artifact.file_lock.fcntl.flock", no_locks)
    export = Kept(trained, tmp_path / "a", ranker="never")
    assert "No locks available" in "".join(export.warned)
    assert names(tmp_path) == ["a"]
