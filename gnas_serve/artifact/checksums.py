"""The seals of a stored folder: ``SHA256SUMS``, which ``sha256sum -c`` reads, and its signature.

Both are written after the manifest, which can therefore not list them: the sums are held against it instead, and the
signature is of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping

CHECKSUMS = "SHA256SUMS"
SIGNATURE = f"{CHECKSUMS}.sig"
SEALS = (CHECKSUMS, SIGNATURE)
# The signature while it is replaced: a sign that was killed leaves it, and does not damage the artifact.
_PERMITTED = {*SEALS, f"{SIGNATURE}.tmp"}
_SINCE = {"artifact": 3}


def is_sealed(kind: str, format_version: int) -> bool:
    """Tell whether folders of a kind hold checksums in a format version."""
    return kind in _SINCE and format_version >= _SINCE[kind]


def is_seal(name: str) -> bool:
    """Tell whether a file of a sealed folder is rightly outside of its manifest."""
    return name in _PERMITTED


def checksums(hashes: Mapping[str, str]) -> bytes:
    """Give the content of ``SHA256SUMS`` in the format of GNU coreutils, in the order of the names.

    Parameters
    ----------
    hashes
        File name -> SHA-256 in hexadecimal digits. Names are those of a manifest, which hold no backslash.
    """
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes.items())).encode()
