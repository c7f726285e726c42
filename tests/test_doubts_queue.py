"""The order of doubt, its reasons in words, and what is told of decisions."""

from dataclasses import replace

import numpy as np
import pytest

from napari_lot.analysis.doubts_queue import (
    BY_HAND,
    asked_by_residual,
    asked_words,
    decision,
    decisions_sentence,
    doubtful_words,
    rank,
    signed,
)
from napari_lot.atoms import Orbitals
from napari_lot.job import Control, Result
from napari_lot.report import make_report
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import settings_from_dict
from quick_job import QuickJob

SPACING = 2.8


@pytest.fixture
def series():
    images = np.random.default_rng(0).random((8, 12, 12)).astype(np.float32)
    return TiltSeries(images, np.column_stack([np.zeros(8), np.linspace(-60, 60, 8), np.zeros(8)]), 0.4)


@pytest.fixture
def result(series) -> Result:
    """64 good atoms on a grid, ids from 100 on."""
    job = QuickJob(series, settings_from_dict({"model": {"elements": ["Pt"], "probe": "direct"}}))
    list(job.run(Control()))
    grid = np.stack(np.meshgrid(*[np.arange(4.0)] * 3, indexing="ij"), -1).reshape(-1, 3) * SPACING
    rng = np.random.default_rng(1)
    atoms = Orbitals.create(grid, 1 + 0.03 * rng.normal(size=64), 0.5, elements=("Pt",), id=100 + np.arange(64))
    return replace(
        job.result,
        orbitals=atoms,
        sigma_A=0.03 * (1 + 0.05 * rng.normal(size=(64, 3))),
        p_exists=np.full(64, 0.9999),
        p_element=np.ones(64),
        tilts_seen=np.full(64, 8),
    )


def spoilt(result, **changes):
    atoms = replace(result.orbitals, **{n: v for n, v in changes.items() if hasattr(result.orbitals, n)})
    return replace(result, orbitals=atoms, **{n: v for n, v in changes.items() if not hasattr(atoms, n)})


def changed(values, row, value):
    values = np.array(values)
    values[row] = value
    return values


def cases(result):
    atoms = result.orbitals
    return {
        "exists with a probability of 0.5": spoilt(result, p_exists=changed(result.p_exists, 30, 0.5)),
        "error bar is 69.3 pm": spoilt(result, sigma_A=changed(result.sigma_A, 30, 0.4)),
        "height is 40 % of that of the other Pt": spoilt(result, height=changed(atoms.height, 30, 0.4)),
        "neighbour, atom 131, is 1.30 Å away, where 2.80 Å is expected": spoilt(
            result, positions=changed(atoms.positions, 30, atoms.positions[30] + [0, 0, 1.5])
        ),
    }


@pytest.mark.parametrize("words", ["exists with", "error bar", "height is", "neighbour, atom"])
def test_each_reason_brings_its_atom_to_the_front(result, words):
    ((text, case),) = [(t, c) for t, c in cases(result).items() if words in t]
    ranking = rank(case, SPACING)
    front = {int(ranking.atoms[0]), int(ranking.atoms[1])} if "neighbour" in text else {int(ranking.atoms[0])}
    assert 130 in front
    assert ranking.scores[0] > 1
    assert text in ranking.why(130)
    assert sorted(ranking.atoms) == list(range(100, 164))
    assert (np.diff(ranking.scores) <= 0).all()


def test_the_residual_is_a_reason_and_several_are_told(result):
    misfit = np.random.default_rng(2).normal(1.0, 0.02, 64)
    misfit[7] = 3.0
    ranking = rank(result, SPACING, misfit)
    assert ranking.atoms[0] == 107
    assert ranking.why(107).startswith("The residual around it is 3.00 times the noise, 1.0")
    weak = spoilt(result, height=changed(result.orbitals.height, 7, 0.3))
    assert "; " in rank(weak, SPACING, misfit).why(107)


def test_how_many_are_doubtful_is_told_from_the_ranking(result):
    told = rank(result, SPACING)
    assert doubtful_words(told, True) == "no atom doubtful"
    assert doubtful_words(told, False) == "no atom doubtful, residuals aside (N looks at them)"
    assert doubtful_words(told, False, error_bars=False) == "", "that none is says nothing then"
    misfit = np.ones(len(result.orbitals))
    misfit[[3, 40]] = 9.0
    assert doubtful_words(rank(result, SPACING, misfit), True) == "2 atoms doubtful"


def test_places_that_the_residual_asks_for_are_named_until_an_atom_is_there(result):
    free = result.orbitals.positions.max(0) + 3.0
    assert asked_words(result, SPACING) == ""
    asked = replace(
        result, details={"asked_for": [[*free.tolist(), 12.3], [*result.orbitals.positions[4].tolist(), 9.0]]}
    )
    text = asked_words(asked, SPACING)
    assert text.startswith("The residual asks for an atom that is not there: x ")
    assert text.endswith("Å (12 σ).")
    many = replace(result, details={"asked_for": [[*(free + 3 * k).tolist(), 9.0] for k in range(7)]})
    assert "7 atoms that are not there" in asked_words(many, SPACING)
    assert asked_words(many, SPACING).endswith("; and 2 more.")


def test_good_atoms_are_not_worth_a_look(result):
    assert (rank(result, SPACING).scores < 1).all()
    bare = spoilt(result, sigma_A=None, p_exists=None)
    assert (rank(bare, SPACING).scores < 1).all()
    told = rank(bare, SPACING)
    assert not told.doubtful(int(told.atoms[0]))
    text = told.tell(0)
    assert text.startswith("Nothing about it is doubtful. What is least certain: ")
    assert "only" not in text
    nobody = replace(bare, orbitals=bare.orbitals.take(slice(0, 0)))
    assert len(rank(nobody, SPACING)) == 0


def test_decisions_are_told_and_reported(result, series):
    made = [
        decision(what, atom, "Pt", np.array([1.0, -2.0, 0.12345]), gain, "why", "2026-01-01T00:00:00+00:00")
        for what, atom, gain in (("keep", 1, 0.0), ("delete", 2, -1.5), ("delete", 3, 36.5), ("add", 164, 12.0))
    ]
    text = decisions_sentence(made, 163)
    begins = "3 atoms were judged by eye from measured, calculated and residual images at every tilt"
    assert text.startswith(f"{begins}: 1 kept and 2 deleted; 1 atom was added at a place chosen by hand on the")
    assert "residual images; 163 atoms remain." in text
    marked = [{**made[0], "doubtful": False}, {**made[1], "doubtful": True}, {**made[2], "doubtful": True}, made[3]]
    assert decisions_sentence(marked, 163).startswith(f"{begins}, 2 of them marked as doubtful: 1 kept and")
    assert decisions_sentence(made[3:], 164).startswith("1 atom was added at a place chosen by hand")
    assert text.endswith("altered the log-likelihood of the images by +47.")
    assert decisions_sentence([], 5) == ""
    assert "log-likelihood" not in decisions_sentence(made[:1], 5)
    report = make_report(series, replace(result, details={"decisions": made}), {})
    assert report["details"]["decisions"][1]["position_A"] == [1.0, -2.0, 0.1235]


def test_added_atoms_are_told_by_who_asked_for_them():
    def added(*reasons):
        return [
            decision("add", 5 + i, "Pt", np.zeros(3), 10.0, reason, "2026-01-01T00:00:00+00:00")
            for i, reason in enumerate(reasons)
        ]

    asked = asked_by_residual(9.13)
    text = decisions_sentence(added(asked, asked), 165)
    begins = "2 atoms were added where the residual asked for them, confirmed by hand; 165 atoms remain."
    assert text.startswith(begins)
    assert "by eye" not in text
    text = decisions_sentence(added(asked, BY_HAND), 165)
    assert text.startswith(
        "1 atom was added where the residual asked for one, confirmed by hand; 1 atom was added at a"
    )


@pytest.mark.parametrize(
    ("number", "text"), [(35.2, "+35"), (-0.421, "−0.42"), (1234.0, "+1234"), (-1.3e6, "−1.3 × 10⁶")]
)
def test_numbers_with_a_sign(number, text):
    assert signed(number) == text
