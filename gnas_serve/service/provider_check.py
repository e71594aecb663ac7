"""Whether rankers can compute on what the settings say, found out before any worker starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from gnas_serve.errors import MissingExtraError
from gnas_serve.runtime.providers import CPU

_TRIAL_S = 120.0
_REASON = re.compile(r"with error: (.+)")  # which library is missing, in ONNX Runtime's log
# In a process of its own: what opens a device keeps hundreds of megabytes until it ends.
_TRIAL = """
import sys
from gnas_serve.errors import GnasError
from gnas_serve.runtime.session import TRIAL_MODEL, open_session
try:
    open_session(TRIAL_MODEL, sys.argv[1])
except GnasError as error:
    sys.exit(error.message)
"""


def check_provider(provider: str) -> None:
    """Open a session on a provider.

    Raises
    ------
    MissingExtraError
        If it cannot be used here.
    """
    if provider == CPU:
        return
    hint = "needs onnxruntime-gpu, its CUDA and cuDNN, and a device; `gnas-serve doctor` says what there is"
    command = [sys.executable, "-c", _TRIAL, provider]
    # In a Bento this package is in a folder, and not installed.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TRIAL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingExtraError(
            f"{provider} does not answer within {_TRIAL_S:g} s", hint=hint, code="provider"
        ) from error
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or f"a session on {provider} ended with {done.returncode}"
        reason = _REASON.search(done.stderr)
        raise MissingExtraError(said if reason is None else f"{said}: {reason[1]}", hint=hint, code="provider")
