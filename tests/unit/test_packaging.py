"""What is in the tree is in the wheel, under irprune and nowhere else."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Where each folder of the repository ends up in site-packages.
INSTALLED_AS = {"irprune": "irprune", "passes": "irprune/passes", "models": "irprune/models"}
SHIPPED = {".py", ".typed", ".onnx", ".npz", ".html"}


def shipped_files() -> set[str]:
    """The files that an installation must have, by their path in site-packages."""
    found = set()
    for folder, target in INSTALLED_AS.items():
        base = ROOT / folder
        for path in base.rglob("*"):
            inner = path.relative_to(base)
            if folder == "irprune" and inner.parts[0] in ("passes", "models"):
                continue  # the links, on systems where globbing follows them
            if path.is_file() and path.suffix in SHIPPED:
                found.add(f"{target}/{inner.as_posix()}")
    return found


def table(name: str, text: str) -> str:
    """The body of one table of pyproject.toml (there is no tomllib in Python 3.10)."""
    match = re.search(rf"^\[{re.escape(name)}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no table [{name}] in pyproject.toml"
    return match[1]


def test_every_package_is_listed() -> None:
    body = table("tool.setuptools", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = re.findall(r'^  "([\w.]+)",$', body, re.MULTILINE)
    folders = {str(Path(name).parent) for name in shipped_files() if name.endswith(".py")}
    assert sorted(listed) == sorted(folder.replace("/", ".") for folder in folders)


@pytest.mark.parametrize("name", ["passes", "models"])
def test_the_links_are_relative(name: str) -> None:
    link = ROOT / "irprune" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built from a copy of the tree: an old build/ must not leak into the answer."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for folder in INSTALLED_AS:
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", str(out), str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("irprune-*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_tree(wheel: set[str]) -> None:
    assert {name for name in wheel if ".dist-info/" not in name} == shipped_files()


def test_no_generic_name_lands_in_site_packages(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not re.fullmatch(r"irprune(-[\w.]+\.dist-info)?", top)} == set()


def test_the_wheel_carries_license_and_command(wheel: set[str]) -> None:
    inner = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert {"licenses/LICENSE", "entry_points.txt"} <= inner
