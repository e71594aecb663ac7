"""Reads a Containerfile as an engine does, as far as ours go: instructions with their words, stage by stage."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|[^\s"])+""")
_PAIR = re.compile(r"""("(?:[^"\\]|\\.)*"|\w+)=(.*)""")


@dataclass
class Stage:
    """What follows one FROM."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [rest for instruction, rest in self.instructions if instruction == name]

    def one(self, name: str) -> str:
        (found,) = self.all(name)
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """Read the names and values of ENV or LABEL; what a backslash stands before in quotes is meant as it is."""
        found = (_PAIR.fullmatch(word) for rest in self.all(name) for word in _WORD.findall(rest))
        return {_plain(pair[1]): _plain(pair[2]) for pair in found if pair is not None}

    def copies(self) -> list[tuple[str, list[str], str]]:
        """Give stage, sources and target of each COPY; the stage is empty where it is the context."""
        found = []
        for rest in self.all("COPY"):
            words = rest.split()
            origin = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else ""
            found.append((origin, words[:-1], words[-1]))
        return found


def _plain(word: str) -> str:
    return re.sub(r'\\(["\\$])', r"\1", word[1:-1]) if word.startswith('"') else word


def stages(text: str) -> list[Stage]:
    """Read a Containerfile."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r" *\\\n *", " ", "\n".join(lines))
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in joined.splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda place: arguments[place[1]], base), name))
        elif instruction == "ARG" and not found:
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            found[-1].instructions.append((instruction, rest.strip()))
    return found
