"""The project's own promises: manifest, layering, the contract's flags, what the build needs."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

from napari_lot.cli import options
from napari_lot.cli.app import app
from napari_lot.settings import Settings

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "napari_lot"

BUILT = {
    "reconstruct": """--out --overwrite --angles --tilt-axis --pixel-size --center --mask --counts --thickness
        --probe --energy --semiangle --defocus --c30 --c12 --source-size --focal-spread
        --element --elements --spacing --orbital --start --likelihood --refine --fix --withhold --exclude
        --config --set --device --threads --seed --max-minutes""",
    "voxel": """--out --overwrite --angles --tilt-axis --pixel-size --center --mask --counts --thickness
        --withhold --exclude --bin --iterations --trace --element --elements --spacing
        --config --set --device --threads --max-minutes""",
    "info": "",
    "demo": "--out",
    "simulate": "--out",
    "trace": """--out --overwrite --voxel-size --mask --element --elements --spacing --min-distance --threshold --fit
        --config --set""",
    "compare": "--cutoff --rotate",
    "devices": "",
    "resume": "--out --overwrite --device --threads --max-minutes",
    "export": "--plain --overwrite",
}


def flags_of(name):
    import typer

    (command,) = [c for n, c in typer.main.get_command(app).commands.items() if n == name]
    return {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")} - {"--help"}


@pytest.mark.parametrize("command", BUILT)
def test_every_flag_of_the_contract_is_there(command):
    assert set(BUILT[command].split()) <= flags_of(command)


def test_reconstruct_has_no_other_flags():
    assert flags_of("reconstruct") == set(BUILT["reconstruct"].split())


def test_flags_stand_for_settings_that_exist_and_take_their_help_from_them():
    for parameter, settings in options.SETTING_OF.items():
        assert options.flag_of(parameter) in flags_of("reconstruct")
        for setting in settings:
            assert options.field_of(setting).description


def test_every_setting_says_what_it_is():
    for section, field in Settings.model_fields.items():
        for name, setting in field.annotation.model_fields.items():
            assert setting.description, f"{section}.{name}"
            assert setting.description.endswith("."), f"{section}.{name}"


def test_manifest_is_valid_and_names_what_exists():
    manifest = PluginManifest.from_file(SOURCE / "napari.yaml")
    assert manifest.name == "napari-lot"
    assert (ROOT / "napari.yaml").resolve() == SOURCE / "napari.yaml"
    assert "keybindings" not in yaml.safe_load((SOURCE / "napari.yaml").read_text())["contributions"]
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        if module.startswith("napari_lot.gui"):  # imported only where there is Qt
            text = (SOURCE.parent / f"{module.replace('.', '/')}.py").read_text()
            assert re.search(rf"^(class|def) {name}\b", text, re.M)
        else:
            assert callable(getattr(import_module(module), name))
    used = {
        c.command
        for kind in ("widgets", "readers", "writers", "sample_data")
        for c in getattr(manifest.contributions, kind)
    }
    # what stands in the command palette and menus alone
    used |= {f"napari-lot.open_{what}" for what in ("workbench", "sample", "session", "volume")}
    assert used == {command.id for command in manifest.contributions.commands}


def test_compute_never_imports_the_window():
    modules = [
        ".".join(p.relative_to(SOURCE.parent).with_suffix("").parts)
        for p in sorted(SOURCE.rglob("*.py"))
        # that of the Triton kernels needs an extra
        if "gui" not in p.parts and p.name not in ("__main__.py", "__init__.py", "triton_kernels.py")
    ]
    program = "import sys, importlib\nfor m in sys.argv[1:]: importlib.import_module(m)\n"
    program += "window = {'napari', 'qtpy', 'superqt', 'magicgui', 'pyqtgraph', 'PyQt6'}\n"
    program += "wrong = {m.split('.')[0] for m in sys.modules} & window\n"
    program += "wrong |= {m for m in sys.modules if m.startswith('napari_lot.gui')}\n"
    program += "sys.exit(str(wrong) if wrong else 0)"
    done = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_the_command_line_prints():
    for path in SOURCE.rglob("*.py"):
        if "cli" not in path.parts:
            assert not re.search(r"^\s*print\(", path.read_text(), re.M), path


def test_help_is_quick_and_needs_no_torch():
    program = "import sys\nfrom napari_lot.cli.app import run\nrun(['reconstruct', '--help'])\n"
    program += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_the_module_runs():
    done = subprocess.run([sys.executable, "-m", "napari_lot", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_the_ci_run_is_the_readmes_test_command():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()
    readme = (ROOT / "README.md").read_text()
    assert "make test" in readme
    assert "make demo" in readme


def test_packaging_names_what_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"all", "test", "docs"} <= set(project["optional-dependencies"])
    assert "Framework :: napari" in project["classifiers"]
    assert project["entry-points"]["napari.manifest"] == {"napari-lot": "napari_lot:napari.yaml"}
    module, _, name = project["scripts"]["napari-lot"].partition(":")
    assert callable(getattr(import_module(module), name))
    from napari_lot import __version__

    assert project["version"] == __version__
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_actions_are_pinned_by_commit():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(workflows) == 3
    used = [line.strip() for path in workflows for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) > 10
    for line in used:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+)+$", line), line
    pins: dict[str, set[str]] = {}
    for line in used:
        action, _, commit = line.split("uses: ")[1].partition("@")
        pins.setdefault(action, set()).add(commit)
    assert all(len(commits) == 1 for commits in pins.values())


def test_lowest_versions_are_those_of_pyproject():
    done = subprocess.run([sys.executable, ROOT / ".ci" / "lowest"], capture_output=True, text=True, check=True)
    lowest = dict(line.split("==") for line in done.stdout.splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for words in project["dependencies"]:
        name, bound = words.split(">=")
        assert name == "torch" or lowest[name] == bound
    assert "torch" not in lowest
    assert lowest["ase"] in " ".join(project["optional-dependencies"]["all"])
