"""Nothing in a file of the user's is ever run: the source has none of the calls that could."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "napari_lot"
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUN = {"eval", "exec", "compile", "__import__"}
SAFE_YAML = {"SafeLoader", "CSafeLoader", "BaseLoader"}


def name_of(node: ast.expr) -> str:
    """``np.load`` of such an expression, as far as it is a chain of names."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(source: str) -> list[str]:
    """What of a module may run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module] if node.module.split(".")[0] in PICKLES else []
            found += [f"{node.module}.{a.name}" for a in node.names if node.module == "yaml" and "load" in a.name]
        if not isinstance(node, ast.Call):
            continue
        called, given = name_of(node.func), {k.arg: k.value for k in node.keywords}
        last = called.rpartition(".")[2]
        if called in RUN or called in ("builtins.eval", "builtins.exec", "os.system", "runpy.run_path"):
            found.append(called)
        if called.startswith("yaml.") and last in ("load", "load_all"):
            loader = given.get("Loader", node.args[1] if len(node.args) > 1 else None)
            found += [] if loader is not None and name_of(loader).rpartition(".")[2] in SAFE_YAML else [called]
        if called.startswith("yaml.") and last in ("unsafe_load", "unsafe_load_all", "full_load", "full_load_all"):
            found.append(called)
        if "allow_pickle" in given and not is_constant(given["allow_pickle"], False):
            found.append(f"{called}(allow_pickle=...)")
        if called == "torch.load" and not is_constant(given.get("weights_only"), True):
            found.append("torch.load without weights_only=True")
        if "shell" in given and not is_constant(given["shell"], False):
            found.append(f"{called}(shell=...)")
    return found


def is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_of_a_file_is_run():
    modules = sorted(SOURCE.rglob("*.py"))
    assert len(modules) > 150
    found = {str(path.relative_to(SOURCE)): unsafe(path.read_text(encoding="utf-8")) for path in modules}
    assert {path: calls for path, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib as j",
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "from yaml import unsafe_load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=wanted)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_it_would_be_noticed(line):
    assert unsafe(line)


@pytest.mark.parametrize(
    "line",
    ["yaml.safe_load(text)", "yaml.load(t, Loader=yaml.CSafeLoader)", "np.load(p, allow_pickle=False)", "model.eval()"],
)
def test_what_is_safe_is_left_alone(line):
    assert not unsafe(line)
