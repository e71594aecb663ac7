"""Signatures of an artifact: Ed25519 over the bytes of its ``SHA256SUMS``, as ``openssl pkeyutl`` checks them.

The sums name every file of the artifact with its hash, so that a signature of them is one of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gnas_serve.artifact.checksums import CHECKSUMS, SIGNATURE
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.artifact.source_date import VARIABLE, stamp
from gnas_serve.artifact.store import storage_errors
from gnas_serve.errors import ConfigError, IntegrityError, StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_MOST_BYTES = 1 << 16  # of a key file: keys have some hundred
_SIGNATURE_BYTES = 64
_MAKE_PRIVATE = "make one: openssl genpkey -algorithm ed25519 -out key.pem"
_MAKE_PUBLIC = "make it of the private one: openssl pkey -in key.pem -pubout -out pub.pem"


@dataclass(frozen=True)
class SigningKey:
    """A private key, read once: its file is never copied, and may be a pipe."""

    _key: Ed25519PrivateKey

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """Read an Ed25519 private key in PEM.

        Raises
        ------
        ConfigError
            If there is no such file, or it holds something else, another kind of key, or one under a password.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        raw = _read(path, _MAKE_PRIVATE)
        try:
            key = load_pem_private_key(raw, password=None)
        except TypeError as error:  # what it raises where a password is asked for
            hint = "give the key without a password: openssl pkey -in key.pem -out plain.pem"
            raise ConfigError(f"{path} is encrypted", hint=hint) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{path} is no private key in PEM", hint=_MAKE_PRIVATE) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} holds another kind of key than Ed25519", hint=_MAKE_PRIVATE)
        return cls(key)

    def sign(self, folder: Path) -> None:
        """Sign an artifact; an earlier signature is replaced.

        Raises
        ------
        StorageError
            If the disk is full or not writable; an earlier signature stays, then. Or, after it was replaced, if the
            times of the files cannot be set, which says so.
        """
        signature = self._key.sign((folder / CHECKSUMS).read_bytes())
        with storage_errors(folder / SIGNATURE):
            replace_file(folder / SIGNATURE, signature, synced=True)
        try:
            stamp(folder)
        except OSError as error:
            raise StorageError(
                f"{folder} is signed, but the times of its files cannot be set: {error.strerror}",
                hint=f"sign as the owner of the files, or unset {VARIABLE}",
            ) from error


@dataclass(frozen=True)
class VerifyingKey:
    """A public key."""

    _key: Ed25519PublicKey
    _path: Path

    @classmethod
    def read(cls, path: Path) -> VerifyingKey:
        """Read an Ed25519 public key in PEM.

        Raises
        ------
        ConfigError
            If there is no such file, or it holds something else or another kind of key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        raw = _read(path, _MAKE_PUBLIC)
        try:
            key = load_pem_public_key(raw)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{path} is no public key in PEM", hint=_MAKE_PUBLIC) from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{path} holds another kind of key than Ed25519", hint=_MAKE_PUBLIC)
        return cls(key, path)

    def check(self, folder: Path) -> None:
        """Check the signature of an artifact's checksums; that these are right is another check.

        Raises
        ------
        IntegrityError
            If it is not signed, or the signature is not that of this key over these checksums.
        """
        from cryptography.exceptions import InvalidSignature

        sums, signature = folder / CHECKSUMS, folder / SIGNATURE
        if not (sums.is_file() and signature.is_file()):
            raise IntegrityError(f"{folder} is not signed", hint="sign it: gnas-serve sign ARTIFACT --key key.pem")
        if signature.stat().st_size == _SIGNATURE_BYTES:
            try:
                self._key.verify(signature.read_bytes(), sums.read_bytes())
            except InvalidSignature:
                pass
            else:
                return
        raise IntegrityError(
            f"{signature} is no signature of {CHECKSUMS} by the key in {self._path}",
            hint="it was altered, or signed with another key: take it from where it was made",
        )


def _read(path: Path, hint: str) -> bytes:
    if not path.exists() or path.is_dir():
        raise ConfigError(f"{path}: no such key file", hint=hint, code="not_found")
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES)
