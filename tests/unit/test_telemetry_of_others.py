"""What the libraries that serve tell their makers: nothing, whoever loads them."""

import os
import subprocess
import sys

import pytest

# An import hook sees what ONNX Runtime is going to read.
_LOADED = """
import os, sys
found = []
def hook(event, arguments):
    if event == "import" and arguments[0] == "onnxruntime":
        found.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.addaudithook(hook)
import gnas_serve.runtime.recommender
print(*found)
"""


@pytest.mark.parametrize(("given", "found"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_onnx_runtime_is_loaded_with_its_telemetry_off(given, found):
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", _LOADED], env={**clean, **given}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {found}
