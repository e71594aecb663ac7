"""The text that an image is built from."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from containerfile_reader import Stage, stages

from gnas_serve.container.containerfile import BENTO, BILL, HOME, SCRATCH, Recipe, check_reference, containerfile
from gnas_serve.errors import ConfigError
from gnas_serve.runtime.providers import PROVIDERS

BASE = "docker.io/library/python:3.11-slim"
DIGEST = "sha256:" + "a" * 64


def built(recipe: Recipe) -> tuple[Stage, Stage]:
    packages, image = stages(containerfile(recipe))
    return packages, image


def test_both_stages_are_on_the_base_image() -> None:
    packages, image = built(Recipe("registry.example.com:5000/python:3.12-slim"))
    assert packages.base == image.base == "registry.example.com:5000/python:3.12-slim"
    assert packages.name


def test_it_runs_as_a_number_that_is_not_root() -> None:
    _, image = built(Recipe(BASE))
    user, group = image.one("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_nothing_is_run_in_the_image_itself_and_nothing_of_the_build_is_in_it() -> None:
    packages, image = built(Recipe(BASE))
    assert not image.all("RUN")
    made = [target for origin, _, target in image.copies() if origin == packages.name]
    assert made == [f"{HOME}/venv", BENTO, BILL]
    assert all(PurePosixPath(HOME) in PurePosixPath(target).parents for _, _, target in image.copies())


def test_packages_are_wheels_that_leave_no_cache_and_settings_of_pip_no_trace() -> None:
    packages, _ = built(Recipe(BASE))
    install, compiled = packages.all("RUN")
    for word in ("--no-cache-dir", "--only-binary :all:", "--constraint", "--mount=type=secret,id=pip,"):
        assert word in install
    assert "unchecked-hash" in install
    assert "unchecked-hash" in compiled
    assert "apt-get" not in containerfile(Recipe(BASE))
    assert not packages.all("ARG")


def test_signals_reach_the_server_and_its_health_is_asked_without_a_shell() -> None:
    _, image = built(Recipe(BASE))
    assert image.one("STOPSIGNAL") == "SIGTERM"
    assert json.loads(image.one("ENTRYPOINT")) == [f"{HOME}/venv/bin/bentoml", "serve", BENTO]
    assert json.loads(image.one("CMD")) == []
    options, _, check = image.one("HEALTHCHECK").partition(" CMD ")
    assert "--start-period=120s" in options
    assert json.loads(check)[-1] == f"{HOME}/healthcheck.py"
    assert image.one("EXPOSE").split() == ["3000", "3001"]


def test_what_is_written_lies_in_one_place() -> None:
    _, image = built(Recipe(BASE, variables={"OMP_NUM_THREADS": "1"}))
    given = image.pairs("ENV")
    for name in ("BENTOML_HOME", "HOME"):
        assert PurePosixPath(SCRATCH) in (PurePosixPath(given[name]), *PurePosixPath(given[name]).parents)
    assert given["OMP_NUM_THREADS"] == "1"
    assert given["BENTOML_DO_NOT_TRACK"] == "True"
    assert given["PATH"].startswith(f"{HOME}/venv/bin:")


def test_labels_say_what_they_are_given() -> None:
    labels = {"org.example.text": 'a "quoted" $HOME \\ and ${PATH} = `x`', "empty": ""}
    _, image = built(Recipe(BASE, labels=labels))
    assert image.pairs("LABEL") == labels


def test_the_gpu_flavour_finds_cudas_libraries() -> None:
    packages, image = built(Recipe(BASE, gpu=True))
    folder = image.pairs("ENV")["LD_LIBRARY_PATH"]
    assert f"ln -s {HOME}/venv/lib/python3*/site-packages/nvidia/*/lib/*.so* {folder}/" in packages.all("RUN")[0]
    assert (packages.name, [folder], folder) in image.copies()
    assert image.pairs("ENV")["GNAS_PROVIDER"] in PROVIDERS
    assert not {"LD_LIBRARY_PATH", "GNAS_PROVIDER"} & set(built(Recipe(BASE))[1].pairs("ENV"))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(BASE, labels={"name": "two\nlines"}),
        Recipe(BASE, labels={"name": "\x1b[31m"}),
        Recipe(BASE, variables={"no name": "1"}),
        Recipe(f"{BASE}\nRUN evil"),
    ],
)
def test_what_would_be_another_instruction_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ConfigError):
        containerfile(recipe)


@pytest.mark.parametrize(
    "name",
    ["shop", "shop:1", "localhost/shop:1", "ghcr.io/team/shop:v1.2", "r.example.com:5000/a/b-c:1", f"{BASE}@{DIGEST}"],
)
def test_names_of_images(name: str) -> None:
    assert check_reference(name, "--image-tag") == name


@pytest.mark.parametrize("name", ["", "Shop:1", "shop:", "shop:a b", "--shop", "a/../b", "shop:1:2", "shop@sha256:1"])
def test_what_is_no_name_of_an_image(name: str) -> None:
    with pytest.raises(ConfigError, match="--image-tag"):
        check_reference(name, "--image-tag")
