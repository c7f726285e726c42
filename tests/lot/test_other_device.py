"""That nothing lies on the wrong device: by tensors of one that is not there, which have shapes and no numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch cannot stand in for another device",
)
HERE = Path(__file__).parent
THERE_AND_BACK = """
import sys

import test_device as of
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from napari_lot.lot.device import places, road
from napari_lot.lot.device.memory import Device
from napari_lot.lot.render.scene import Scene

_setup_privateuseone_for_python_backend("card")
name, doubles = sys.argv[1], sys.argv[2] == "double precision"
if not doubles:  # as Apple's
    road.exact = places.exact = lambda device: torch.device("cpu")


class Watched(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "card" and not doubles:
                assert tensor.dtype not in (torch.float64, torch.complex128), operation
        return out


case = of.Case(*of.CASES[name])
model, leaf = case.model(), case.leaves()
atoms, others = case.seen(leaf)
scene = Scene.of(model, model._seen(of.TILTS, *atoms, others["focus_A"], others["shapes"]))
card = road.DeviceRoad(Device(torch.device("card", 0), memory_gb=1.0, triton=False))
with FakeTensorMode(allow_non_fake_inputs=True), Watched():
    at, tilts = road._Scene(card, model, scene), range(len(of.TILTS))
    image, gone = at.there(tilts)
    measured = [card.put(part[of.TILTS]) for part in (case.observed, case.weights)]
    level = torch.ones(len(tilts), 1, 1, device=card.device.torch)
    _, slope, sums = road.likelihood_of(True, model.canvas.crop(image), *measured, level, level)
    canvas = at.empty_canvas(len(tilts))
    model.canvas.crop(canvas)[:] = slope
    found = at.back(tilts, canvas, gone, (True,) * 6)
assert image.device.type == "card"
assert {tensor.device for tensor in (sums, *found.atoms, found.matrices, found.offsets)} == {at.exact}
"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("two species, a finer canvas", "double precision"),
        pytest.param("two species, a finer canvas", "single precision", marks=pytest.mark.slow),
        ("own widths of another shape", "single precision"),
        pytest.param("direct, own widths", "single precision", marks=pytest.mark.slow),
    ],
)
def test_everything_is_where_it_is_needed(name, kind):
    """In a process of its own, for PyTorch forgets no device."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", THERE_AND_BACK, name, kind], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
