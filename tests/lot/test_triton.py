"""Triton's kernels, run by its interpreter on the processor, against PyTorch's operations."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None,
    reason="no Triton (large, and for Linux on x86-64 alone): pip install 'napari-lot[gpu]'",
)
HERE = Path(__file__).parent
COMPARE = """
import sys
import test_device as of

case = of.Case(*of.CASES[sys.argv[1]], atoms=12)
model, own = case.model(of.here(triton=False)), case.model(of.here(triton=True))
for coarse in (False, True):
    model.set_coarse(coarse)
    own.set_coarse(coarse)
    of.assert_alike(case.fitted(own, "poisson", True), case.fitted(model, "poisson", True), 1e-5)
    of.assert_alike(case.rendered(own), case.rendered(model), 1e-5)
from napari_lot.lot.device import triton_kernels
assert "Interpreted" in type(triton_kernels._spread).__name__
"""


@pytest.mark.parametrize("name", ["learnt", "two species, a finer canvas"])
def test_spread_and_gather_are_those_of_the_other_operations(name):
    """In a process of its own, for Triton decides when it is imported whether it interprets."""
    paths = os.pathsep.join([str(HERE), *sys.path])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, name], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton
from napari_lot.lot.device import triton_kernels

kinds = {"at_u": "*i64", "at_v": "*i64", "at_piece": "*i64", "entries": "i32", "count": "i32", "rows": "i32"}
kinds["columns"] = "i32"
for kernel, more in ((triton_kernels._spread, {}), (triton_kernels._gather, {"SLOPES": True})):
    known = {"PAIRS": 3, "WIDTH": 8, "DEGREE": 7, **more}
    types = {name: "constexpr" if name in known else kinds.get(name, "*fp32") for name in kernel.arg_names}
    source = ASTSource(kernel, types, constexprs=known)
    made = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options={"num_warps": 1})
    assert len(made.asm["cubin"]) > 0
    assert made.metadata.num_warps == 1
"""


@pytest.mark.parametrize(
    "capability", [80, 90, *(pytest.param(old_or_new, marks=pytest.mark.slow) for old_or_new in (70, 75, 100, 120))]
)
def test_they_compile_for_cards_that_are_not_here(capability, tmp_path):
    """To the machine code of CUDA devices: as far as one can go without one."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(capability)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
