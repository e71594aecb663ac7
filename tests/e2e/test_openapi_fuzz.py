"""Schemathesis over the OpenAPI page of a real server, with everything on: what it says is what it does.

All of schemathesis' checks: no 5xx, statuses, content types, headers and bodies as described, what holds the schema is
answered and what does not is refused, other methods are 405, no call without its key; and that nothing internal is
told. At more length, with its command: ``--max-examples 2000``, and the files of ``tests/openapi_fuzz``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from attribute_tables import attributes_of
from content_tables import encoder_of
from segment_tables import FACTS, random_segments
from served_process import AT_ONCE, Served
from tiny_artifact import write_tiny_artifact

from gnas_serve.service.auth import digest_of, new_key

EXAMPLES = 8
FILES = Path(__file__).parents[1] / "openapi_fuzz"
RUN = "from schemathesis.cli import schemathesis; schemathesis()"


def test_the_server_does_what_its_page_says(tmp_path: Path) -> None:
    attributes = attributes_of(
        {
            "price": [row * 1.5 if row % 7 else None for row in range(80)],
            "category": ["ab"[row % 2] for row in range(80)],
            "tags": [["x", "y"][: row % 3] for row in range(80)],
        }
    )
    for seed, name in enumerate(("one", "two")):  # as openapi_fuzz/hooks.py names them
        segments = (FACTS, random_segments(80))
        described = {"attributes": attributes, "segments": segments, "content": encoder_of}
        write_tiny_artifact(tmp_path / "versions" / name, seed=seed, **described)
    keys = {name: new_key() for name in ("caller", "admin")}
    for name, key in keys.items():
        (tmp_path / name).write_text(f"{name} {digest_of(key)}\n")
    settings = {
        **AT_ONCE,
        "GNAS_API_KEYS": str(tmp_path / "caller"),
        "GNAS_ADMIN_KEYS": str(tmp_path / "admin"),
        "GNAS_VERSIONS": str(tmp_path / "versions"),
        "GNAS_FEEDBACK": str(tmp_path / "log"),
    }
    served = Served(str(tmp_path / "versions" / "one"), tmp_path / "run", settings=settings)
    try:
        command = [
            sys.executable,
            "-c",
            RUN,
            "--config-file",
            str(FILES / "schemathesis.toml"),
            "run",
            f"{served.ready['http']}/docs.json",
        ]
        command += ["--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "0"]
        told = {"GNAS_FUZZ_KEY": keys["caller"], "GNAS_FUZZ_ADMIN": keys["admin"]}
        told["SCHEMATHESIS_HOOKS"] = str(FILES / "hooks.py")
        done = subprocess.run(
            [*command, "--no-shrink"],
            cwd=tmp_path,
            env=os.environ | told,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        operations = sum(map(len, served.http("/docs.json")["paths"].values()))
        assert f"Tested: {operations}\n" in done.stdout
        cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
        assert cases is not None
        assert int(cases[1]) == int(cases[2]) > 50 * operations
    finally:
        assert served.stop() == 0, served.log.read_text()
    assert "Traceback" not in served.log.read_text()
