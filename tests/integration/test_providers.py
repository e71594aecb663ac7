"""A session computes on what was asked for, or is not made: ONNX Runtime itself falls back without an error."""

import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import ConfigError, MissingExtraError
from gnas_serve.runtime.providers import CUDA, PROVIDERS
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.session import TRIAL_MODEL, open_session
from gnas_serve.service.provider_check import check_provider
from gnas_serve.service.settings import Settings

# In a process of its own, as what cannot be loaded is told on stderr.
_LOOK = """
import sys, onnxruntime as ort
session = ort.InferenceSession(bytes.fromhex(sys.argv[1]), providers=["CUDAExecutionProvider"])
sys.exit("CUDAExecutionProvider" not in session.get_providers())
"""


def cuda_works():
    done = subprocess.run([sys.executable, "-c", _LOOK, TRIAL_MODEL.hex()], capture_output=True, check=False)
    return done.returncode == 0


needs_cuda = pytest.mark.skipif(not cuda_works(), reason="no CUDA device that onnxruntime-gpu can use")
needs_none = pytest.mark.skipif(cuda_works(), reason="CUDA works here")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return write_tiny_artifact(tmp_path_factory.mktemp("providers") / "artifact")


def test_the_cpu_is_what_is_active_by_default():
    session = open_session(TRIAL_MODEL)
    assert session.get_providers() == [PROVIDERS["cpu"]]
    assert session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [-1.0]


@needs_none
def test_a_session_that_would_fall_back_is_refused(artifact, capfd):
    for ask in (lambda: open_session(TRIAL_MODEL, CUDA), lambda: Recommender.load(artifact, provider=CUDA)):
        with pytest.raises(MissingExtraError, match="is to compute on cuda, and ONNX Runtime gives CPU") as caught:
            ask()
        assert caught.value.exit_code == 9
    assert capfd.readouterr().out == ""  # where results go


@needs_none
def test_a_server_finds_out_before_it_starts_workers():
    check_provider("cpu")
    with pytest.raises(MissingExtraError, match="is to compute on cuda") as caught:
        check_provider(CUDA)
    if PROVIDERS[CUDA] in ort.get_available_providers():
        assert ".so" in caught.value.message  # which library is missing


@needs_cuda
def test_cuda_gives_the_same_lists(artifact):
    on_cpu, on_cuda = Recommender.load(artifact), Recommender.load(artifact, provider=CUDA)
    check_provider(CUDA)
    for row in range(len(on_cpu.users)):
        query = Query(on_cpu.users.id(row), k=10)
        ours, theirs = on_cpu.recommend(query), on_cuda.recommend(query)
        assert ours.item_ids == theirs.item_ids
        assert theirs.scores == pytest.approx(ours.scores, rel=1e-4, abs=1e-5)


@needs_none
def test_a_bento_whose_package_is_in_a_folder_finds_out_as_well(tmp_path, monkeypatch):
    """As in an image: a Python without this package, in some other folder."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(MissingExtraError) as caught:
        check_provider(CUDA)
    assert "gnas_serve" not in caught.value.message


@needs_none
def test_serve_says_so_before_anything_is_started(artifact):
    environment = {**os.environ, "GNAS_PROVIDER": "cuda"}
    command = [sys.executable, "-m", "gnas_serve.cli", "serve", str(artifact)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 9, done.stderr
    assert "is to compute on cuda" in done.stderr


def test_the_setting_is_checked(artifact):
    settings = Settings.from_environment({"GNAS_ARTIFACT": str(artifact), "GNAS_PROVIDER": "CUDA"})
    assert settings.provider == CUDA
    with pytest.raises(ConfigError, match="GNAS_PROVIDER='tpu': expected cpu or cuda"):
        Settings.from_environment({"GNAS_ARTIFACT": str(artifact), "GNAS_PROVIDER": "tpu"})
