"""Imports go one way: a module imports from its own layer and from lower ones, never upwards."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the bottom to the top. The package's own `__init__` is the facade over `api`; `models` holds the
# builders and the data of the demo, which only the command line reaches for.
LAYERS = (
    "versions",
    "errors",
    "reasons",
    "printable",
    "collector",
    "options",
    "request",
    "zeros",
    "tuning",
    "ir",
    "axes",
    "signatures",
    "frontends",
    "runtime",
    "analysis",
    "scoring",
    "calibration",
    "criteria",
    "allocation",
    "plans",
    "identity",
    "rewriting",
    "sparsity",
    "compaction",
    "dropping",
    "passes",
    "backends",
    "repair",
    "verification",
    "bench",
    "trees",
    "vocabulary",
    "report",
    "api",
    "several",
    "sparse",
    "depth",
    "torch",
    "__init__",
    "torch",
    "sweep",
    "models",
    "cli",
    "__main__",
)


def sources() -> Iterator[tuple[str, Path]]:
    """Each source file with its dotted name, as it is imported: passes/prune.py is irprune.passes.prune."""
    for folder, package in (
        ("irprune", "irprune"),
        ("passes", "irprune.passes"),
        ("models", "irprune.models"),
    ):
        base = ROOT / folder
        for path in sorted(base.rglob("*.py")):
            inner = path.relative_to(base).with_suffix("").parts
            if folder == "irprune" and inner[0] in ("passes", "models"):
                continue  # the links, on systems where globbing follows them
            yield ".".join((package, *inner)), path


def layer(module: str) -> str:
    """irprune.passes.prune is of layer passes, irprune itself of layer __init__."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the irprune module of every import, also those inside functions or TYPE_CHECKING."""
    package = module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            anchor = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join((*anchor, *(node.module.split(".") if node.module else ())))
            # `from irprune import x` is the module x where there is one, else something of the facade.
            is_layer = [base == "irprune" and alias.name in LAYERS for alias in node.names]
            names = [
                f"{base}.{alias.name}" if known else base for alias, known in zip(node.names, is_layer, strict=True)
            ]
        else:
            continue
        for name in names:
            if name.split(".")[0] in ("passes", "models"):
                yield (
                    node.lineno,
                    name,
                )  # only their installed names, irprune.passes and irprune.models, exist
            elif name.split(".")[0] == "irprune":
                yield node.lineno, name


def violations(module: str, source: str) -> list[str]:
    """What breaks the order in one module: where, what it imports, and what it may import."""
    own = layer(module)
    if own not in LAYERS:
        return [f"{module}: {own!r} is in no layer; add it to LAYERS"]
    found = []
    for line, target in imported(module, ast.parse(source)):
        if not target.startswith("irprune"):
            found.append(f"{module}:{line} imports {target}: its name is irprune.{target}")
        elif (other := layer(target)) not in LAYERS:
            found.append(f"{module}:{line} imports {target}: {other!r} is in no layer")
        elif LAYERS.index(other) > LAYERS.index(own):
            found.append(f"{module}:{line} imports {target}: {own} may not import {other}, which is above it")
        elif other == "models" and own not in ("models", "cli"):
            found.append(f"{module}:{line} imports {target}: only cli may import models")
    return found


def imports_that_run(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at the top and inside functions, but not those under TYPE_CHECKING, which no process ever makes.

    An import inside a function only hides a circle: neither module can be understood, moved or tested alone.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def dependencies(modules: Mapping[str, str]) -> nx.DiGraph:
    """Which module imports which; a package stands for its ``__init__``, and importing from it for what it names."""
    known = {name.removesuffix(".__init__"): name for name in modules}
    graph = nx.DiGraph()
    for module, source in modules.items():
        package = module.split(".")[:-1]
        for node in imports_that_run(ast.parse(source)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                anchor = package[: len(package) + 1 - node.level] if node.level else []
                base = ".".join((*anchor, *(node.module.split(".") if node.module else ())))
                inner = [f"{base}.{alias.name}" for alias in node.names]
                names = [name if name in known else base for name in inner]
            graph.add_edges_from((module, known[name]) for name in names if name in known and known[name] != module)
    return graph


def circles(modules: Mapping[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or through others; each circle in the order of its names."""
    found = nx.strongly_connected_components(dependencies(modules))
    return sorted(sorted(circle) for circle in found if len(circle) > 1)


def test_no_modules_import_each_other() -> None:
    """Also within a layer, where the order of the layers says nothing."""
    assert circles({name: path.read_text(encoding="utf-8") for name, path in sources()}) == []


@pytest.mark.parametrize(
    "second",
    [
        "from .first import one",
        "from . import first",
        "import irprune.ir.first",
        "def late():\n    from .first import one",
        "try:\n    from .first import one\nexcept ImportError:\n    pass",
    ],
)
def test_a_circle_is_found(second: str) -> None:
    modules = {
        "irprune.ir.__init__": "",
        "irprune.ir.first": "from .third import three",
        "irprune.ir.third": "from .second import two",
        "irprune.ir.second": second,
    }
    assert circles(modules) == [["irprune.ir.first", "irprune.ir.second", "irprune.ir.third"]]


@pytest.mark.parametrize("second", ["if TYPE_CHECKING:\n    from .first import one", "import numpy", "from . import x"])
def test_what_is_no_circle(second: str) -> None:
    modules = {"irprune.ir.__init__": "", "irprune.ir.first": "from .second import two", "irprune.ir.second": second}
    assert circles(modules) == []


def test_the_tree_is_found() -> None:
    assert any(name.startswith("irprune.passes.") for name, _ in sources())
    assert any(name.startswith("irprune.models.") for name, _ in sources())


@pytest.mark.parametrize(("module", "path"), [pytest.param(*item, id=item[0]) for item in sources()])
def test_imports_go_one_way(module: str, path: Path) -> None:
    assert violations(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("irprune.plans", "from irprune.errors import InputError"),
        ("irprune.plans", "from . import scoring"),
        ("irprune.passes.prune", "from ..plans import Plan"),
        ("irprune.passes.prune", "from .base import Pass"),
        ("irprune.signatures.onnx", "from irprune.signatures import table"),
        ("irprune.cli", "from irprune import __version__, models"),
        ("irprune.ir", "import numpy as np\nfrom onnx import helper"),
        ("irprune.frontends.onnx", "import onnx"),
        ("irprune.torch.importer.module", "import torch\nfrom ..api import open_model"),
    ],
)
def test_downward_imports_pass(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        (
            "irprune.axes",
            "import irprune.plans",
            "irprune.axes:1 imports irprune.plans: axes may not import plans, which is above it",
        ),
        (
            "irprune.axes",
            "from irprune import plans",
            "irprune.axes:1 imports irprune.plans: axes may not import plans, which is above it",
        ),
        (
            "irprune.passes.prune",
            "def run():\n    from ..verification import check",
            "irprune.passes.prune:2 imports irprune.verification: passes may not import verification, "
            "which is above it",
        ),
        (
            "irprune.plans",
            "if TYPE_CHECKING:\n    from .api import prune",
            "irprune.plans:2 imports irprune.api: plans may not import api, which is above it",
        ),
        (
            "irprune.plans",
            "from irprune import prune",
            "irprune.plans:1 imports irprune: plans may not import __init__, which is above it",
        ),
        (
            "irprune.api",
            "from irprune.models import digits",
            "irprune.api:1 imports irprune.models: api may not import models, which is above it",
        ),
        (
            "irprune.__main__",
            "from irprune.models import digits",
            "irprune.__main__:1 imports irprune.models: only cli may import models",
        ),
        (
            "irprune.cli",
            "import passes.prune",
            "irprune.cli:1 imports passes.prune: its name is irprune.passes.prune",
        ),
        (
            "irprune.cli",
            "import irprune.utils",
            "irprune.cli:1 imports irprune.utils: 'utils' is in no layer",
        ),
        (
            "irprune.api",
            "from .torch import from_onnx",
            "irprune.api:1 imports irprune.torch: api may not import torch, which is above it",
        ),
        ("irprune.utils", "", "irprune.utils: 'utils' is in no layer; add it to LAYERS"),
    ],
)
def test_the_checker_catches(module: str, source: str, message: str) -> None:
    assert violations(module, source) == [message]


# -- one place for sessions --------------------------------------------------------------------------------------------

# The builder of the demo's model trains and measures without irprune; so does the list of other models.
_BUILDERS = {"irprune.models.digits", "irprune.models.library", "irprune.models.variants"}


def runtimes(source: str) -> list[int]:
    """The lines on which ONNX Runtime is imported, all of it or a part."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        found += [node.lineno for name in names if name.split(".")[0] == "onnxruntime"]
    return found


def test_one_package_opens_sessions() -> None:
    """Options, errors and memory are settled in one place; telemetry is turned off before the library is loaded."""
    found = {module for module, path in sources() if runtimes(path.read_text(encoding="utf-8"))}
    assert found - _BUILDERS == {"irprune.runtime.session"}


@pytest.mark.parametrize("source", ["import onnxruntime as ort", "def f():\n    from onnxruntime.capi import x"])
def test_an_import_of_onnx_runtime_is_found(source: str) -> None:
    assert runtimes(source) == [source.count("\n") + 1]
