"""The arrows of the house: who may import whom, which methods are lent upwards, and what `import kedja` loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kedja

SRC = Path(kedja.__file__).parent
# The rest stands above all of these. Data stands low because it knows nothing of graphs, and training reads it.
ROOMS = [
    "errors", "elsewhere", "lent", "rooms", "files", "data", "graph", "ops", "diff", "engines", "nn", "optim", "train",
    "formats", "zoo",
]  # fmt: skip
OWN_DERIVATIVES = [
    "grad",
    "vjp",
    "jvp",
    "linearize",
    "jacfwd",
    "jacrev",
    "hessian",
    "custom_vjp",
    "custom_jvp",
    "value_and_grad",
]
FILES = sorted(SRC.rglob("*.py"))
LENT = {
    "Tensor": {
        "kedja.ops": """
            __matmul__ __mod__ __pow__ __radd__ __rand__ __rfloordiv__ __rmatmul__ __rmod__ __rmul__ __ror__ __rpow__
            __rsub__ __rtruediv__ __rxor__ T
        """,
        "kedja.ops.op": """
            __abs__ __add__ __and__ __eq__ __floordiv__ __ge__ __gt__ __invert__ __le__ __lt__ __mul__ __ne__ __neg__
            __or__ __sub__ __truediv__ __xor__
        """,
        "kedja.ops.indexing": "__getitem__",
        "kedja.ops.formula": "tex text",
        "kedja.ops.reductions": "argmax max mean min sum",
        "kedja.ops.shaping": "reshape transpose",
        "kedja.ops.elementwise": "astype",
        "kedja.engines.values": "__array__ __bool__ __float__ __index__ __int__ __repr__ item numpy tolist",
    },
    "Graph": {"kedja.engines.reference": "run"},
}


def level(module: str) -> int:
    """How high the room of a module of kedja stands."""
    room = module.split(".")[1]
    return ROOMS.index(room) if room in ROOMS else len(ROOMS)


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside functions; names imported from a package count as modules."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(path: Path) -> str:
    """The module a file is."""
    return ".".join(("kedja", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")


@pytest.mark.parametrize("path", [p for p in FILES if p != SRC / "__init__.py"], ids=dotted)
def test_arrows_point_down(path):
    """A room imports only rooms below it, inside functions too: graph ← ops ← diff ← engines ← nn ← optim ← train."""
    here = level(dotted(path))
    upward = [m for m in imports(path) if m.startswith("kedja.") and level(m) > here]
    assert upward == []


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_jax_is_imported_by_the_xla_engine_alone(path):
    """Everything else is written on the graph."""
    if "engines/xla" not in path.as_posix() and "engines/kernels" not in path.as_posix():
        assert [m for m in imports(path) if m.split(".")[0] in ("jax", "jaxlib")] == []


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_jax_differentiates_nothing(path):
    """jax.grad and its relatives never appear: differentiation is what this project is for."""
    used = {
        f"{node.value.id}.{node.attr}"
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("jax", "ad", "lax")
    }
    named = {m.rsplit(".", 1)[-1] for m in imports(path) if m.startswith("jax.")}
    assert not {u for u in used if u.split(".")[1] in OWN_DERIVATIVES} and not named & set(OWN_DERIVATIVES)


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_nothing_is_pickled_or_evaluated(path):
    """No pickle, eval, exec, or bare except."""
    called = {n.func.id for n in nodes(path) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    bare = [n.lineno for n in nodes(path) if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert not called & {"eval", "exec"} and not bare and not {"pickle", "dill", "shelve"} & set(imports(path))


def test_methods_lent_by_upper_rooms_are_these():
    """What the lower rooms borrow from above goes through one registry and is listed here."""
    code = "import kedja.engines; from kedja.graph.node import BOUND; print(*(f'{k}={v}' for k, v in BOUND.items()))"
    found = dict(pair.split("=") for pair in fresh(code).split())
    expected = {f"{c}.{name}": m for c, by in LENT.items() for m, names in by.items() for name in names.split()}
    assert found == expected


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SRC.parent)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_methods_lent_to_models_are_these():
    """The same for models: the names the registry promises are those that the upper rooms bring."""
    code = "from importlib import import_module; from kedja.graph.node import BOUND; from kedja.lent import LENT; "
    code += "[import_module(m) for by in LENT.values() for m in {**by}.values()]; "
    code += "lent = {f'{c}.{n}' for c, by in LENT.items() for n in by} | {'Module.summary'}; "
    code += "print({k for k in BOUND if k.split('.')[0] in LENT} == lent)"
    assert fresh(code).strip() == "True"


HEAVY = "('jax', 'pandas', 'matplotlib', 'rich', 'torch', 'scipy', 'sklearn')"


@pytest.mark.parametrize(
    "use",
    [
        "import kedja",
        "import kedja as kj; kj.grad(lambda x: kj.sin(x) ** 2)(1.0).numpy()",
        "import kedja as kj; kj.compile(lambda x: x * 2, engine='reference')(1.0)",
    ],
)
def test_heavy_packages_are_loaded_when_they_are_used(use):
    """Importing, differentiating and running on the reference engine load no JAX, pandas, matplotlib or rich."""
    assert fresh(f"{use}; import sys; print([m for m in {HEAVY} if m in sys.modules])").strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_files_stay_readable(path):
    """A file is at most 400 lines long."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
