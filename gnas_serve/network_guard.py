"""NetworkGuard: a process that is to do without the network is refused it, and it is known who asked.

Python tells its audit hooks of every socket that Python code connects, binds or sends by, and of every name that it
looks up. Code in C that opens a socket by itself is not seen: ONNX Runtime's own telemetry is, for one, such code, and
is switched off by its variable instead. Proof against everything is a process without a network, ``unshare -rn``.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from contextlib import suppress
from pathlib import PurePath
from types import TracebackType
from typing import Any, Self

from gnas_serve.errors import OfflineError

OFFLINE = "GNAS_OFFLINE"
"""Set for the programs that a guarded process starts: ours guard themselves by it."""
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""What libraries read before they phone home; ONNX Runtime does so from 1.29 on, in C, when it is loaded."""
_LOCAL_FAMILIES = {getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name)}
_ADDRESSED = {"socket.bind": "listen on", "socket.connect": "connect to", "socket.sendmsg": "send to"}
_ADDRESSED["socket.sendto"] = "send to"
_NAMED = {"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname", "socket.getnameinfo"}


class NetworkGuard:
    """Refuses whatever leaves this machine, while it is entered; loopback and Unix sockets stay open.

    Attributes
    ----------
    refused
        What was refused, and to whom.
    programs
        Names of the programs that were started, which it does not see into.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.programs: list[str] = []
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        """Begin to refuse; libraries that are loaded from here on are told not to phone home."""
        for name, value in {**QUIET, OFFLINE: "1"}.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value
        _watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Refuse no longer."""
        _GUARDS.remove(self)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def raise_if_refused(self) -> None:
        """End what goes on although it was refused something.

        Raises
        ------
        OfflineError
            Naming who asked, and for what.
        """
        if self.refused:
            raise _error(self.refused[0])

    def to_json(self) -> dict[str, Any]:
        """Say what it saw, for reports."""
        return {
            "offline": True,
            "refused": len(self.refused),
            "attempts": list(self.refused),
            "programs": sorted({*self.programs}),
        }

    @property
    def summary(self) -> str:
        """Say it in a line."""
        others = f"; started besides: {', '.join(sorted({*self.programs}))}" if self.programs else ""
        return f"no network was used: {len(self.refused)} attempts refused{others}"

    def _saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self.programs.append(PurePath(os.fsdecode(arguments[0])).name)
            return
        wish = _wish(event, arguments)
        if wish:
            self.refused.append(f"{_asking()} wanted to {wish}")
            raise _error(self.refused[-1])


_GUARDS: list[NetworkGuard] = []  # a hook cannot be taken away again: there is one, which asks who is on guard
_HOOKED: list[bool] = []


def inherited() -> NetworkGuard | None:
    """Guard this process to its end where a guarded one started it."""
    return NetworkGuard().__enter__() if os.environ.get(OFFLINE) else None


def _watch(guard: NetworkGuard) -> None:
    _GUARDS.append(guard)
    if not _HOOKED:
        _HOOKED.append(True)
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _GUARDS and event.startswith(("socket.", "subprocess.")):
        for guard in _GUARDS:
            guard._saw(event, arguments)


def _wish(event: str, arguments: tuple[Any, ...]) -> str:
    """Say what an event would do outside this machine; empty where it stays inside."""
    if event == "socket.__new__":
        family = arguments[1]
        known = {*_LOCAL_FAMILIES, socket.AF_INET, socket.AF_INET6, socket.AF_UNSPEC, -1}
        return "" if family in known else f"open a socket of family {family}"
    if event in _ADDRESSED:
        endpoint, address = arguments[0], arguments[1]
        if endpoint.family in _LOCAL_FAMILIES or address is None or _is_loopback(address):
            return ""
        return f"{_ADDRESSED[event]} {_shown(address)}"
    if event in _NAMED:
        host = arguments[0]
        return "" if host in (None, "", b"") or _is_loopback(host) else f"look up {_shown(host)}"
    return ""


def _is_loopback(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) and address else address
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    if host.lower() in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    with suppress(ValueError):
        found = ipaddress.ip_address(host)
        mapped = getattr(found, "ipv4_mapped", None)
        return found.is_loopback or (mapped is not None and mapped.is_loopback)
    return False


def _shown(address: Any) -> str:
    parts = address[:2] if isinstance(address, tuple) else (address,)
    return ":".join(os.fsdecode(bytes(part)) if isinstance(part, (bytes, bytearray)) else str(part) for part in parts)


def _asking() -> str:
    """Name the first caller that is not of Python's own library."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module != __name__ and module.partition(".")[0] not in sys.stdlib_module_names:
            break
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', 'Python')} (line {frame.f_lineno})"


def _error(wish: str) -> OfflineError:
    return OfflineError(
        f"--offline: {wish}", hint="an export needs no network: find out what does, or export without --offline"
    )
