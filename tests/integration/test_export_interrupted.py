"""`gnas-serve export` that is interrupted for real, and without a network: through the command line.

What is interrupted is another process; what goes on with its work is this one.
"""

import json
import re
import shutil
import signal
import subprocess

import pytest
from cli_call import call
from export_resumption import command, names, signalled
from export_runs import files
from planted_checkpoint import planted_checkpoint

SIGNALS = [
    ("choosing the index", signal.SIGKILL, -9, "compress_tables"),
    ("judging the answers to newcomers", signal.SIGINT, 130, "choose_ranker"),
    ("checking the finished artifact", signal.SIGTERM, 143, "judge"),
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "checkpoint"
    planted_checkpoint(num_users=150, num_items=90).save(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(checkpoint):
    out = checkpoint.with_name("undisturbed")
    done = ended(exported(checkpoint, out, "--offline"))
    assert done.returncode == 0, done.stderr
    return out, done


def exported(checkpoint, out, *options):
    return "export", checkpoint, "--out", out, "--profile", "exact", *options


def ended(arguments, before=()):
    return subprocess.run([*before, *command(*arguments)], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(("phrase", "number", "code", "last"), SIGNALS)
def test_a_signal(checkpoint, undisturbed, tmp_path, capsys, phrase, number, code, last):
    out = tmp_path / "a"
    found, said = signalled(exported(checkpoint, out), phrase, number)
    assert found == code
    assert names(tmp_path) == [".a.work"]
    if number != signal.SIGKILL:
        assert "the same command goes on with it" in said
        assert "Traceback" not in said

    ending = call(*exported(checkpoint, out))
    lines = capsys.readouterr().err.splitlines()
    assert ending == 0, lines
    assert re.fullmatch(r"export: going on after (\w+) \(kept by an interrupted export\)", lines[0])[1] == last
    assert names(tmp_path) == ["a"]
    assert files(out) == files(undisturbed[0])
    resumed = [step["name"] for step in json.loads((out / "report.json").read_bytes())["steps"] if "resumed" in step]
    assert resumed[-1] == last


def test_without_a_network_nothing_is_missed(undisturbed):
    out, done = undisturbed
    assert re.search("^export: no network was used: 0 attempts refused", done.stderr, re.MULTILINE)
    network = json.loads((out / "report.json").read_bytes())["connections"]
    assert (network["offline"], network["refused"], network["attempts"]) == (True, 0, [])


def test_an_attempt_ends_the_export_and_its_work_is_kept(checkpoint, tmp_path):
    planted = (
        "import socket, sys\n"
        "import gnas_export.pipeline as pipeline\n"
        "from gnas_serve.cli.app import main\n"
        "def build_index(draft):\n"
        "    try:\n"
        "        socket.create_connection(('192.0.2.1', 80), timeout=1)\n"
        "    except Exception:\n"
        "        pass\n"
        "steps = [build_index if step.__name__ == 'build_index' else step for step in pipeline.STEPS]\n"
        "pipeline.STEPS = tuple(steps)\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [str(one) for one in exported(checkpoint, tmp_path / "a", "--offline")]
    program = [command()[0], "-P", "-c", planted, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 9, done.stderr
    assert "error: --offline: __main__ (line 6) wanted to look up 192.0.2.1" in done.stderr
    assert "hint: an export needs no network" in done.stderr
    assert names(tmp_path) == [".a.work", "a.report.html", "a.report.json"]
    report = json.loads((tmp_path / "a.report.json").read_bytes())
    assert report["error"]["code"] == "offline"
    assert report["connections"]["refused"] == 1


def test_where_there_is_no_network_at_all(checkpoint, undisturbed, tmp_path):
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here: `unshare -rn` is refused")
    done = ended(exported(checkpoint, tmp_path / "a", "--offline", "--max-latency-us", "1000000"), (unshare, "-rn"))
    assert done.returncode == 0, done.stderr
    made = files(tmp_path / "a")
    assert {**made, "manifest.json": b""} == {**files(undisturbed[0]), "manifest.json": b""}
    network = json.loads((tmp_path / "a" / "report.json").read_bytes())["connections"]
    assert network["refused"] == 0
    assert any(name.startswith("python") for name in network["programs"])  # which timed the artifact


def test_two_at_once(checkpoint, tmp_path, capsys):
    out = tmp_path / "a"
    first = subprocess.Popen(command(*exported(checkpoint, out)), stderr=subprocess.PIPE, text=True)
    try:
        first.stderr.readline()  # it has begun, and with it the lock
        first.send_signal(signal.SIGSTOP)
        code = call(*exported(checkpoint, out))
    finally:
        first.kill()
        first.communicate()
    assert code == 2
    assert "another export to this output is running" in " ".join(capsys.readouterr().err.split())
    assert names(tmp_path) == [".a.work"]
