"""`gnas-serve sign`, `verify --key`: signatures that openssl accepts, and whatever is not signed or not a key."""

import errno
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_call import call
from tiny_artifact import write_tiny_artifact

from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE

OPENSSL = shutil.which("openssl")
GOLDEN = Path(__file__).parents[1] / "golden"

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")


def openssl(*arguments):
    return subprocess.run([str(OPENSSL), *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    kinds = {"key": ["ed25519"], "other": ["ed25519"], "ec": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}
    for name, kind in kinds.items():
        assert openssl("genpkey", "-algorithm", *kind, "-out", folder / f"{name}.pem").returncode == 0
        assert openssl("pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub").returncode == 0
    locked = ("-aes256", "-pass", "pass:secret", "-out", folder / "locked.pem")
    assert openssl("genpkey", "-algorithm", "ed25519", *locked).returncode == 0
    (folder / "garbled.pem").write_bytes((folder / "key.pem").read_bytes().replace(b"M", b"?"))
    (folder / "empty.pem").touch()
    (folder / "noise.pem").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def artifact(tmp_path):
    return write_tiny_artifact(tmp_path / "artifact")


@pytest.fixture
def signed(artifact, keys):
    assert call("sign", artifact, "--key", keys / "key.pem") == 0
    return artifact


def test_what_is_signed_is_verified_here_and_by_openssl(signed, keys, capsys):
    capsys.readouterr()
    assert call("verify", signed, "--key", keys / "key.pub", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["signature"] == "verified"
    assert (signed / SIGNATURE).stat().st_size == 64
    done = openssl(
        *("pkeyutl", "-verify", "-pubin", "-inkey", keys / "key.pub", "-rawin"),
        *("-in", signed / CHECKSUMS, "-sigfile", signed / SIGNATURE),
    )
    assert done.returncode == 0, done.stderr
    assert call("verify", signed) == 0  # nobody asks for the signature
    assert call("inspect", signed, "--output", "json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["signed"] is True


def test_no_key_is_left_in_the_artifact(signed, keys):
    secret = (keys / "key.pem").read_text().splitlines()[1].encode()
    assert not any(secret in path.read_bytes() for path in signed.iterdir())
    assert sorted(path.name for path in signed.iterdir() if path.name.startswith(CHECKSUMS)) == [CHECKSUMS, SIGNATURE]


def test_openssls_own_signature_is_accepted(artifact, keys):
    done = openssl(
        *("pkeyutl", "-sign", "-inkey", keys / "key.pem", "-rawin"),
        *("-in", artifact / CHECKSUMS, "-out", artifact / SIGNATURE),
    )
    assert done.returncode == 0, done.stderr
    assert call("verify", artifact, "--key", keys / "key.pub") == 0


def test_unsigned(artifact, keys, capsys):
    assert call("verify", artifact, "--key", keys / "key.pub") == 8
    assert "is not signed" in capsys.readouterr().err


def test_signed_with_another_key(signed, keys, capsys):
    assert call("verify", signed, "--key", keys / "other.pub") == 8
    assert "is no signature of SHA256SUMS by the key in" in capsys.readouterr().err
    assert call("sign", signed, "--key", keys / "other.pem") == 0  # an earlier signature is replaced
    assert call("verify", signed, "--key", keys / "other.pub") == 0
    assert call("verify", signed, "--key", keys / "key.pub") == 8


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-1], lambda raw: raw + b"\0", lambda raw: bytes(64), lambda raw: b""]
)
def test_an_altered_signature(signed, keys, damage):
    (signed / SIGNATURE).write_bytes(damage((signed / SIGNATURE).read_bytes()))
    assert call("verify", signed, "--key", keys / "key.pub") == 8


@pytest.mark.parametrize("name", [CHECKSUMS, "manifest.json", "items.vectors.npy", "ranker.onnx"])
def test_an_altered_artifact(signed, keys, capsys, name):
    raw = bytearray((signed / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (signed / name).write_bytes(raw)
    assert call("verify", signed, "--key", keys / "key.pub") == 8
    assert name in capsys.readouterr().err
    assert call("sign", signed, "--key", keys / "key.pem") == 8  # nothing is signed that is not whole


def test_another_artifact_under_the_signature(signed, keys, tmp_path):
    other = write_tiny_artifact(tmp_path / "other", seed=1)
    shutil.copy(signed / SIGNATURE, other)
    assert call("verify", other) == 0
    assert call("verify", other, "--key", keys / "key.pub") == 8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("garbled.pem", "is no private key in PEM"),
        ("empty.pem", "is no private key in PEM"),
        ("noise.pem", "is no private key in PEM"),
        ("key.pub", "is no private key in PEM"),
        ("locked.pem", "is encrypted"),
        ("ec.pem", "another kind of key than Ed25519"),
        ("nowhere.pem", "no such key file"),
        (".", "no such key file"),
    ],
)
def test_what_is_no_private_key(artifact, keys, capsys, name, said):
    assert call("sign", artifact, "--key", keys / name) == 2
    assert said in capsys.readouterr().err
    assert not (artifact / SIGNATURE).exists()
    assert call("export", artifact, "--out", artifact / "a", "--sign-key", keys / name) == 2


@pytest.mark.parametrize("name", ["garbled.pem", "empty.pem", "noise.pem", "key.pem", "ec.pub", "nowhere.pem"])
def test_what_is_no_public_key(signed, keys, name):
    assert call("verify", signed, "--key", keys / name) == 2


def test_the_earlier_formats_cannot_be_signed(tmp_path, keys, capsys):
    for version in ("v1", "v2"):
        old = shutil.copytree(GOLDEN / version, tmp_path / version)
        assert call("sign", old, "--key", keys / "key.pem") == 2
        assert "has no SHA256SUMS to sign" in capsys.readouterr().err
        assert call("verify", old) == 0
        assert call("verify", old, "--key", keys / "key.pub") == 8


def test_a_place_that_is_no_artifact(tmp_path, keys):
    assert call("sign", tmp_path / "nowhere", "--key", keys / "key.pem") == 2
    assert call("verify", tmp_path / "nowhere", "--key", keys / "key.pub") == 2


def test_an_artifact_that_cannot_be_written_keeps_its_signature(signed, keys, capsys):
    before = (signed / SIGNATURE).read_bytes()
    (signed / f"{SIGNATURE}.tmp").mkdir()
    assert call("sign", signed, "--key", keys / "other.pem") == 10
    assert "cannot write" in capsys.readouterr().err
    assert (signed / SIGNATURE).read_bytes() == before


def test_an_interrupted_sign_damages_nothing(artifact):
    (artifact / f"{SIGNATURE}.tmp").write_bytes(b"half")
    assert call("verify", artifact) == 0


def test_a_link_where_the_signature_is_written_first_leads_nowhere(artifact, keys, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (artifact / f"{SIGNATURE}.tmp").symlink_to(tmp_path / "mine")
    assert call("sign", artifact, "--key", keys / "key.pem") == 0
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (artifact / SIGNATURE).is_symlink()
    assert call("verify", artifact, "--key", keys / "key.pub") == 0


def test_the_moment_of_signing_is_the_stated_one(artifact, keys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert call("sign", artifact, "--key", keys / "key.pem") == 0
    assert {path.stat().st_mtime for path in (artifact, *artifact.iterdir())} == {1700000000}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert call("sign", artifact, "--key", keys / "key.pem") == 2


def test_times_that_cannot_be_set_are_told_as_such(artifact, keys, capsys, monkeypatch):
    def refused(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setattr("gnas_serve.artifact.source_date.os.utime", refused)  # of files of another user
    assert call("sign", artifact, "--key", keys / "key.pem") == 10
    said = capsys.readouterr().err
    assert "is signed, but the times of its files cannot be set: Permission denied" in " ".join(said.split())
    assert call("verify", artifact, "--key", keys / "key.pub") == 0  # it is signed all the same
