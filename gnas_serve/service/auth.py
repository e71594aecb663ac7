"""Who may call: API keys of which only hashes are kept, and JSON Web Tokens of an issuer that is trusted."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError, InvalidTokenError

from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import plain_text
from gnas_serve.service.errors import UnauthenticatedError

_MOST_BYTES = 1 << 20  # of a file of keys: twelve thousand of them
_LINE = re.compile(r"(?P<name>[A-Za-z0-9._@-]{1,64})\s+(?P<digest>[0-9a-f]{64})")
_LEAST_SECRET_BYTES = 32
_LONGEST_CREDENTIAL = 8192
_LEEWAY_S = 30  # clocks of two machines differ
# By the kind of key that is trusted, never by what a token says of itself: a token "signed" by a public key as if it
# were a shared secret is the classic forgery.
_OF_SECRET = ("HS256", "HS384", "HS512")
_OF_PUBLIC_KEY = ("RS256", "PS256", "ES256", "EdDSA")
_REFUSED = "the call needs a valid key or token"
_MAKE_ONE = "let `gnas-serve api-key NAME --append FILE` make the line; the key itself is never kept"
_HINT = "send `Authorization: Bearer KEY`, or `X-API-Key: KEY`"


def new_key() -> str:
    """Draw an API key: 256 bits, as text that needs no quotes anywhere."""
    return f"gnas_{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> str:
    """Give what is kept of an API key. It is drawn by chance, so that one plain hash of it cannot be guessed back."""
    return hashlib.sha256(key.encode()).hexdigest()


def digests_in(path: Path) -> dict[str, str]:
    """Read a file of lines ``NAME SHA256``; empty ones and those that begin with ``#`` are passed over.

    Returns
    -------
    dict
        The SHA-256 of each key, in hexadecimal, by the caller's name.

    Raises
    ------
    ConfigError
        If it cannot be read, or a line is something else; names the line.
    """
    digests: dict[str, str] = {}
    for number, line in enumerate(_text(path, "API keys").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ConfigError(
                f"{path}, line {number}: expected a name and a SHA-256 in hexadecimal",
                hint=f"remove it, and {_MAKE_ONE}",
            )
        if found["name"] in digests:
            raise ConfigError(f"{path}, line {number}: {found['name']} occurs before", hint="give each a name")
        digests[found["name"]] = found["digest"]
    return digests


class ApiKeys:
    """The callers whose keys are accepted.

    Parameters
    ----------
    digests
        SHA-256 of each key, in hexadecimal, by the caller's name.
    """

    def __init__(self, digests: dict[str, str]) -> None:
        self._digests = [(name, bytes.fromhex(digest)) for name, digest in digests.items()]

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """Read a file of keys.

        Raises
        ------
        ConfigError
            As :func:`digests_in`, and if there is none in it.
        """
        digests = digests_in(path)
        if not digests:
            raise ConfigError(f"{path} holds no key", hint=_MAKE_ONE)
        return cls(digests)

    def caller(self, key: bytes) -> str | None:
        """Name the caller of a key; None where there is none.

        Every key is compared whatever was found, each in constant time: the time tells nothing.
        """
        digest = hashlib.sha256(key).digest()
        found = None
        for name, expected in self._digests:
            if hmac.compare_digest(digest, expected):
                found = name
        return found


class Tokens:
    """JSON Web Tokens of one issuer.

    Parameters
    ----------
    key
        A public key in PEM, or a shared secret of at least 32 bytes.
    issuer, audience
        What a token has to say, where they are given.
    """

    def __init__(self, key: str, *, issuer: str | None = None, audience: str | None = None) -> None:
        is_public = "-----BEGIN" in key
        if "PRIVATE KEY" in key:
            raise ValueError("a private key: give the public one, the service only checks")
        if not is_public and len(key.encode()) < _LEAST_SECRET_BYTES:
            raise ValueError(f"a secret of fewer than {_LEAST_SECRET_BYTES} bytes")
        prepared: tuple[tuple[str, ...], Any] = _prepared(key) if is_public else (_OF_SECRET, key)
        self._algorithms, self._key = prepared
        self._issuer = issuer
        self._audience = audience

    @classmethod
    def read(cls, path: Path, *, issuer: str | None = None, audience: str | None = None) -> Tokens:
        """Read the key from a file.

        Raises
        ------
        ConfigError
            If it cannot be read, or holds no such key.
        """
        key = _text(path, "the key of tokens").strip()
        try:
            return cls(key, issuer=issuer, audience=audience)
        except (ValueError, InvalidKeyError) as error:
            raise ConfigError(
                f"{path} holds no key for tokens: {error}", hint="give a public key in PEM, or a secret of 32 bytes"
            ) from error

    def caller(self, token: bytes) -> str | None:
        """Name the subject of a token; None where it is not to be trusted, has expired, or has no subject."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=list(self._algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except (InvalidTokenError, ValueError):
            return None
        return str(claims["sub"])


@dataclass(frozen=True)
class Authenticator:
    """Tells who calls.

    Attributes
    ----------
    keys, tokens
        What is accepted; neither where anybody may call.
    """

    keys: ApiKeys | None = None
    tokens: Tokens | None = None

    def caller(self, authorization: bytes, api_key: bytes) -> str | None:
        """Name the caller by the values of the two headers, empty where they are absent.

        Returns
        -------
        str or None
            None where anybody may call.

        Raises
        ------
        UnauthenticatedError
            If there is no valid key or token. It does not say what is wrong with it.
        """
        if self.keys is None and self.tokens is None:
            return None
        scheme, _, rest = authorization.partition(b" ")
        credential = rest.strip() if scheme.lower() == b"bearer" else api_key
        found = None
        if credential and len(credential) <= _LONGEST_CREDENTIAL:
            if self.tokens is not None and credential.count(b".") == 2:
                found = self.tokens.caller(credential)
            if found is None and self.keys is not None:
                found = self.keys.caller(credential)
        if found is None:
            raise UnauthenticatedError(_REFUSED, hint=_HINT)
        return plain_text(found)


def _prepared(pem: str) -> tuple[tuple[str, ...], Any]:
    """Find the algorithms that a public key is for."""
    known = get_default_algorithms()
    for name in _OF_PUBLIC_KEY:
        try:
            key = known[name].prepare_key(pem)
        except (InvalidKeyError, ValueError, TypeError):
            continue
        return (("RS256", "PS256") if name == "RS256" else (name,)), key
    raise ValueError("no RSA, P-256 or Ed25519 public key in PEM")


def _text(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise ConfigError(f"{path}: more than {_MOST_BYTES} bytes of {what}", hint="give another file")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: {what} cannot be read: {error}", hint="give a text file that may be read"
        ) from error
