"""How the kernels come to be compiled where the package is installed, and what happens where they cannot be."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest

from gnas_serve import kernels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "a check out"  # with spaces
    shutil.copytree(ROOT / "gnas_serve" / "kernels", folder / "gnas_serve" / "kernels")
    shutil.copy(ROOT / "hatch_build.py", folder)
    return folder


def compiled(folder, **environment):
    return subprocess.run(
        [sys.executable, "hatch_build.py"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(folder):
    """Ask a process what it computes by, and why not by the kernels; it may end by a signal."""
    (folder / "gnas_serve" / "__init__.py").write_text("")
    code = "import sys; sys.path.insert(0, '.'); import gnas_serve.kernels as k; print(k.described() + '|' + k.absence)"
    ask = [sys.executable, "-P", "-c", code]
    done = subprocess.run(ask, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return tuple(done.stdout.strip().split("|"))


def files(folder):
    return sorted(path.name for path in (folder / "gnas_serve" / "kernels").iterdir() if path.name != "__pycache__")


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_they_are_compiled_without_a_warning(checkout):
    before = files(checkout)
    (checkout / "gnas_serve" / "kernels" / "_native.abi3.so").unlink()
    done = compiled(checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(checkout) == before
    assert told(checkout) == (kernels.described(), "")
    done = subprocess.run(
        [sys.executable, "-c", "import _native; print(_native.level(), _native.SOURCES)"],
        cwd=checkout / "gnas_serve" / "kernels",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [kernels.described(), kernels.native.SOURCES], done.stderr


def test_a_checkout_that_moved_on_since_it_was_installed_computes_in_numpy(checkout):
    source = checkout / "gnas_serve" / "kernels" / "src" / "search.c"
    said = []
    for change in ("", "/* newer */"):
        source.write_text(source.read_text() + change)
        said.append(told(checkout))
    assert said == [(kernels.described(), ""), ("numpy", "the compiled module is of other sources than these")]


DAMAGE = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "zeros": lambda content: content[:4096] + bytes(len(content) - 4096),
    "longer": lambda content: content + b"\0",
}


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_module_is_not_loaded(checkout, damage):
    """The system would map it: a page that is not there ends the process."""
    module = checkout / "gnas_serve" / "kernels" / "_native.abi3.so"
    module.write_bytes(DAMAGE[damage](module.read_bytes()))
    assert told(checkout) == ("numpy", "the compiled module is not the one that was built (a damaged file?)")


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_a_module_of_which_nothing_is_noted_is_not_loaded(checkout):
    folder = checkout / "gnas_serve" / "kernels"
    checksum = folder / "_native.abi3.so.sha256"
    for content, said in (("", "is not the one that was built"), ("\xff", "is not the one that was built")):
        checksum.write_bytes(content.encode("latin-1"))
        assert said in told(checkout)[1]
    checksum.unlink()
    assert told(checkout) == ("numpy", "the compiled module has no checksum beside it")
    (folder / "_native.abi3.so").unlink()
    assert told(checkout) == ("numpy", "none was compiled")


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_one_that_an_earlier_version_left_beside_it_is_not_loaded(checkout):
    """An import would prefer what is named for one interpreter."""
    module = checkout / "gnas_serve" / "kernels" / "_native.abi3.so"
    stale = module.with_name(f"_native{sysconfig.get_config_var('EXT_SUFFIX')}")
    stale.write_bytes(b"of no machine")
    assert told(checkout) == (kernels.described(), "")
    shutil.move(module, stale)
    assert told(checkout) == ("numpy", "none was compiled")


@pytest.mark.skipif(sys.platform != "linux", reason="bytes after the end of a module make another file of it")
@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_there_is_one_to_load_at_every_moment_of_its_replacement(quick, checkout, monkeypatch):
    assert quick.compiled()
    content = quick.MODULE.read_bytes() + b"\0"
    monkeypatch.setattr(quick, "_compile", lambda module: module.write_bytes(content) and "")
    moved, seen = Path.replace, []

    def replace(self, target):
        moved(self, target)
        seen.append((target.name, told(checkout)))

    monkeypatch.setattr(Path, "replace", replace)
    assert quick.compiled()
    assert quick.MODULE.read_bytes() == content
    assert {name for name, _ in seen} == {quick.MODULE.name, quick.CHECKSUM.name}
    assert {said for _, said in seen} == {(kernels.described(), "")}
    assert len(quick.CHECKSUM.read_text().splitlines()) == 1


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_what_is_noted_is_a_checksum_that_others_check(checkout):
    done = subprocess.run(
        ["sha256sum", "-c", "_native.abi3.so.sha256"],
        cwd=checkout / "gnas_serve" / "kernels",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "_native.abi3.so: OK\n"


class Hook:
    """What hatchling gives its hooks, as far as this one asks for it."""

    def __init__(self):
        self.target_name = "wheel"


@pytest.fixture
def build(checkout, monkeypatch):
    """The build file of a checkout without a module, as hatchling loads it."""
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = Hook
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("a_build", checkout / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in (module.MODULE, module.CHECKSUM):
        path.unlink(missing_ok=True)
    return module


@pytest.fixture
def quick(build, monkeypatch):
    """The build file with the module that is here in the place of what a compiler makes in seconds."""
    content = (ROOT / "gnas_serve" / "kernels" / build.MODULE.name).read_bytes()
    monkeypatch.setattr(build, "_compile", lambda module: module.write_bytes(content) and "")
    return build


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_a_wheel_has_a_module_of_its_own_whatever_others_do_in_the_tree(quick, checkout):
    hooks, made = [quick.CompiledKernels(), quick.CompiledKernels()], []
    for hook in hooks:
        data = {"artifacts": [], "force_include": {}}
        hook.initialize("standard", data)
        assert (data["pure_python"], data["artifacts"]) == (False, [])
        assert data["tag"].startswith("cp311-abi3-")
        made.append({target: Path(source) for source, target in data["force_include"].items()})
    names = ["gnas_serve/kernels/_native.abi3.so", "gnas_serve/kernels/_native.abi3.so.sha256"]
    assert [list(one) for one in made] == [names, names]
    assert "_native.abi3.so" not in files(checkout)
    hooks[0].finalize("standard", {}, "")
    assert [one[names[0]].exists() for one in made] == [False, True]
    checksum = made[1][names[1]].read_text().split()[0]
    assert quick.hashlib.sha256(made[1][names[0]].read_bytes()).hexdigest() == checksum
    hooks[1].finalize("standard", {}, "")
    assert not made[1][names[0]].parent.exists()


@pytest.mark.skipif(kernels.native is None, reason="no compiler here that makes the kernels")
def test_an_editable_installation_has_it_in_the_tree(quick, checkout):
    hook, data = quick.CompiledKernels(), {"artifacts": [], "force_include": {}}
    hook.initialize("editable", data)
    hook.finalize("editable", data, "")
    assert (data["force_include"], data["pure_python"]) == ({}, False)
    assert told(checkout) == (kernels.described(), "")


def test_a_wheel_without_kernels_is_for_every_platform(build, monkeypatch):
    monkeypatch.setenv("CC", "/bin/false")
    hook, data = build.CompiledKernels(), {"artifacts": [], "force_include": {}}
    hook.initialize("standard", data)
    hook.finalize("standard", data, "")
    assert data == {"artifacts": [], "force_include": {}}


@pytest.mark.parametrize(
    ("platform", "archflags", "tag", "flags"),
    [
        ("linux-x86_64", "", "linux_x86_64", ""),
        ("linux-aarch64", "-arch arm64", "linux_aarch64", ""),
        ("macosx-10.9-universal2", "", "macosx_10_9_universal2", "-arch arm64 -arch x86_64 -mmacosx-version-min=10.9"),
        ("macosx-10.9-universal2", "-arch arm64", "macosx_11_0_arm64", "-arch arm64 -mmacosx-version-min=11.0"),
        ("macosx-10.13-universal2", "-arch x86_64", "macosx_10_13_x86_64", "-arch x86_64 -mmacosx-version-min=10.13"),
        (
            "macosx-11.0-arm64",
            "-arch x86_64 -arch arm64",
            "macosx_11_0_universal2",
            "-arch arm64 -arch x86_64 -mmacosx-version-min=11.0",
        ),
        ("macosx-14.2-arm64", "", "macosx_14_0_arm64", "-arch arm64 -mmacosx-version-min=14.0"),
        ("macosx-12-x86_64", "", "macosx_12_0_x86_64", "-arch x86_64 -mmacosx-version-min=12.0"),
    ],
)
def test_the_platform_of_a_wheel_is_what_was_compiled(build, platform, archflags, tag, flags):
    assert build.built_for(platform, archflags) == (tag, tuple(flags.split()))


def test_no_wheel_is_for_processors_that_no_tag_names_together(build):
    with pytest.raises(ValueError, match="no wheel is for i386 and x86_64"):
        build.built_for("macosx-10.9-universal2", "-arch i386 -arch x86_64")


@pytest.mark.parametrize(
    ("compiler", "said"), [("/bin/false", ""), ("/nowhere/cc", "No such file"), ("cc -fno-such-flag", "no-such-flag")]
)
def test_without_a_compiler_that_works_there_are_none_and_that_is_said(checkout, compiler, said):
    (checkout / "gnas_serve" / "kernels" / "_native.abi3.so").unlink(missing_ok=True)
    done = compiled(checkout, CC=compiler)
    assert done.returncode == 1
    assert "no compiled kernels, numpy will do their work more slowly" in done.stderr
    assert said in done.stderr
    assert "_native.abi3.so" not in files(checkout)
    assert not [name for name in files(checkout) if name.startswith("tmp")]
