"""A program that stands in for docker, podman or buildah: it records what it is asked, and what it is given."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = """#!{python} -I
import json, os, shutil, sys, time
from pathlib import Path
name, kept, answers, said, status, lasts_s = {settings!r}
words = sys.argv[1:]
with open(os.path.join(kept, "calls"), "a") as out:
    print(json.dumps([name, *words]), file=out)
if words == ["version"]:
    if not answers:
        sys.exit("Cannot connect to the daemon")
elif words[0] == "build":
    shutil.copytree(words[-1], os.path.join(kept, "context"))
    Path(kept, "environment").write_text(json.dumps(dict(os.environ)))
    secrets = [words[place + 1] for place, word in enumerate(words) if word == "--secret"]
    for secret in secrets:
        shutil.copy(dict(part.split("=", 1) for part in secret.split(","))["src"], os.path.join(kept, "secret"))
    print("\\n".join(said), file=sys.stderr, flush=True)
    time.sleep(lasts_s)
    if not status:
        Path(words[words.index("--iidfile") + 1]).write_text("sha256:" + "0" * 64)
    sys.exit(status)
"""


@dataclass(frozen=True)
class FakeEngine:
    """Makes the program, in a folder of the path.

    Attributes
    ----------
    kept
        Where it keeps what it was asked and given.
    """

    kept: Path

    def install(
        self,
        folder: Path,
        name: str,
        *,
        answers: bool = True,
        said: tuple[str, ...] = ("STEP 1/2: FROM somewhere",),
        status: int = 0,
        lasts_s: float = 0.0,
    ) -> None:
        self.kept.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        settings = (name, str(self.kept), answers, said, status, lasts_s)
        program = folder / name
        program.write_text(_PROGRAM.format(python=sys.executable, settings=settings))
        program.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        path = self.kept / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return json.loads((self.kept / "environment").read_text())  # type: ignore[no-any-return]

    @property
    def context(self) -> Path:
        return self.kept / "context"
