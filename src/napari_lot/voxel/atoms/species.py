"""From a volume to the atoms of a run: traced as its settings say, elements told apart by what each atom shows."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_lot.agreement import expected_spacing_A
from napari_lot.analysis.mixture import Mixture, fit_mixture
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.elements import relative_strengths, weakest_contrast
from napari_lot.progress import Progress, nothing
from napari_lot.settings import Settings
from napari_lot.voxel.atoms.tracing import LEAST_DISTANCE, Flag, Traced, trace
from napari_lot.voxel.volume import Volume

SURE, UNSURE_PART = 0.9, 0.1
"""Probability of its element from which an atom is sure, and part of the atoms from which others are a doubt."""


class Found(NamedTuple):
    """What a volume holds.

    Attributes
    ----------
    traced : Traced
        Its peaks, atoms with their elements.
    p_element : (A,) float64 or None
        Of every atom the probability of its element; None where there is one element.
    mixture : Mixture or None
        What told them apart.
    """

    traced: Traced
    p_element: NDArray[np.float64] | None
    mixture: Mixture | None

    @property
    def doubts(self) -> tuple[str, ...]:
        """What to hold against the atoms, a sentence each."""
        found: list[str] = []
        atoms = int((self.traced.flag == Flag.OK).sum())
        refused = len(self.traced) - atoms
        if atoms and refused > atoms:
            found.append(
                f"{refused} of {len(self.traced)} peaks were refused, more than were taken: what is taken may be "
                "noise, too; look at the volume, and check its voxel size and the spacing."
            )
        if self.p_element is not None and len(self.p_element):
            unsure = int((self.p_element < SURE).sum())
            if unsure > UNSURE_PART * len(self.p_element):
                found.append(
                    f"{unsure} of {atoms} atoms could as well be of another element: what they show does not fall into "
                    f"{len(self.traced.orbitals.elements)} groups; check the elements."
                )
        return tuple(found)


def trace_spacing_A(settings: Settings) -> float:
    """Expected nearest-neighbour distance in Å: of the settings, the element, or the least distance that is asked for.

    Raises
    ------
    InputError
        None of them is given.
    """
    model, least = settings.model, settings.tracing.min_distance_A
    if least is not None and model.spacing_A is None and set(model.elements) == {"X"}:
        return least / LEAST_DISTANCE
    return expected_spacing_A(model)


def find_atoms(
    volume: Volume, settings: Settings, mask: NDArray[np.bool_] | None = None, progress: Progress = nothing
) -> Found:
    """Trace a volume with the elements, the spacing and the tracing of the settings.

    Parameters
    ----------
    volume : Volume
    settings : Settings
        ``model.elements``, ``model.spacing_A`` and the section ``tracing`` count.
    mask : (Z, Y, X) bool, optional
        Where atoms may be.
    progress : callable
        Told how much is done, 0 to 1; what it raises ends the tracing.

    Raises
    ------
    InputError
        As of ``trace``; or the distance of atoms is not known.
    """
    elements = settings.model.elements
    spacing_A = trace_spacing_A(settings)
    contrast = None if "X" in elements else weakest_contrast(elements)
    return tell_apart(trace(volume, spacing_A, settings.tracing, mask, contrast, progress), elements)


def tell_apart(traced: Traced, elements: tuple[str, ...]) -> Found:
    """Every atom's element by a mixture of normal distributions of the integrals; refused peaks keep the first one.

    With a single element, or too few atoms for several, there is nothing to tell.
    """
    orbitals = replace(traced.orbitals, elements=elements)
    atoms = np.flatnonzero(traced.flag == Flag.OK)
    if len(elements) < 2 or len(atoms) < 2 * len(elements):
        return Found(replace(traced, orbitals=orbitals), None, None)
    named = None if "X" in elements else elements
    mixture = fit_mixture(orbitals.integrated[atoms], elements=named, species=len(elements))
    of_component = np.argsort(relative_strengths(elements), kind="stable")
    best = mixture.probability.argmax(1)
    species = orbitals.species.copy()
    species[atoms] = of_component[best]
    orbitals = replace(orbitals, species=species)
    return Found(replace(traced, orbitals=orbitals), mixture.probability[np.arange(len(atoms)), best], mixture)


def atoms_of(volume: Volume, settings: Settings, source: str = "The volume") -> Orbitals:
    """The atoms of a volume, such as a fit of orbitals may begin with.

    Parameters
    ----------
    volume : Volume
    settings : Settings
        Of the run; see ``find_atoms``.
    source : str
        What the volume is called where it has no atoms.

    Raises
    ------
    InputError
        As of ``find_atoms``; or no peak is an atom.
    """
    atoms = find_atoms(volume, settings).traced.atoms
    if not len(atoms):
        raise InputError(
            f"{source}: no atoms were found; check the voxel size and the spacing, that atoms are bright on a dark "
            "background, and the settings of the tracing."
        )
    return atoms
