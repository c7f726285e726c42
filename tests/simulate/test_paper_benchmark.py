"""The paper's studies: what the page says of a result, and that a small case runs from images to figures."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def paper():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.paper import models, page, study

        yield {"models": models, "page": page, "study": study}
    finally:
        sys.path.remove(str(ROOT))


def row(probe, rmsd, thickness=40.0):
    return {
        "object": "P", "images": "i", "probe": probe, "rmsd_pm": rmsd, "thickness_A": thickness,
        "depth_of_focus_A": 22.0,
    }  # fmt: skip


def test_the_order_of_the_probes_is_judged_as_it_is(paper):
    order = paper["study"].order
    assert order([row("direct", 4.3), row("rigid", 2.2), row("adaptive", 1.7)]) == [
        "P, i (thicker than the depth of focus): direct > rigid ≥ adaptive holds: "
        "direct 4.300 pm, rigid 2.200 pm, adaptive 1.700 pm."
    ]
    for wrong in ((2.0, 2.2, 1.7), (4.3, 2.2, 2.3)):
        (said,) = order([row(*r) for r in zip(("direct", "rigid", "adaptive"), wrong, strict=True)])
        assert "**does not hold**" in said
    (said,) = order([row("direct", 2.0, 10.0), row("rigid", 2.2, 10.0)])
    assert "need not hold): direct > rigid **does not hold**" in said
    assert order([row("rigid", 2.0)]) == []


def test_the_cases_are_thicker_than_their_depth_of_focus_and_scatter_as_they_should(paper):
    models = paper["models"]
    for case in (models.m0(False), models.m0_multislice()):
        assert case.thickness_A > 1.5 * case.depth_of_focus_A
        assert case.thicker_than_focus
    # 1.77 lambda / alpha^2 at 300 kV: 55.8 Å at 25 mrad
    assert models.m0(False).depth_of_focus_A == pytest.approx(55.8 * (25 / 40) ** 2, rel=0.01)
    atoms = models.twin(3, 3)
    two = models.core_and_tail(atoms)
    assert len(two) == 2 * len(atoms)
    np.testing.assert_allclose(two.integrated[:55] + two.integrated[55:], atoms.integrated)
    assert sorted(set(two.width)) == [0.35, 0.8]


def test_the_kept_page_is_what_its_figures_make(paper):
    store = ROOT / "docs" / "results-paper.json"
    found = json.loads(store.read_text(encoding="utf-8"))
    text = paper["page"].make_page(found)
    assert (ROOT / "docs" / "results-paper.md").read_text(encoding="utf-8") == text
    for part in found.values():
        for file in part["figures"].values():
            assert (ROOT / "docs" / "figures" / file).stat().st_size < 400_000
            assert file in text
    unfinished = set(found) != set(paper["page"].TITLES) or any(part.get("left") for part in found.values())
    assert ("## Not yet run" in text) == unfinished
    part = {"machine": "m", "figures": {}, "rows": [row("direct", 4.3)], "left": ["4,000 Si", "8,000 Si"]}
    assert "- Accuracy against size, fast image model: 4,000 Si, 8,000 Si" in paper["page"].make_page(
        {"sizes-fast": part}
    )


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is of the extra bench")
def test_figures_are_drawn(paper, tmp_path):
    from benchmarks.paper import figures

    rng = np.random.default_rng(1)
    image = rng.random((20, 24)).astype(np.float32)
    runs = {
        probe: paper["study"].Run(
            row(probe, 2.0) | {"r_factor": 0.02, "atoms": 9}, rng.random(9), image, 0.98 * image, 0.3
        )
        for probe in ("direct", "rigid")
    }
    figures.images(tmp_path / "a" / "images.png", runs)
    figures.histograms(tmp_path / "h.png", runs)
    figures.against_size(tmp_path / "s.png", [run.figures for run in runs.values()])
    for path in (tmp_path / "a" / "images.png", tmp_path / "h.png", tmp_path / "s.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"
