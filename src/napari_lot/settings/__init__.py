"""Every setting, once: name, unit, bounds, default and help are one pydantic field.

The form in the window, the command line, the YAML file and the table in the docs are made from these fields.
Lengths in Å, angles in degrees, energies in eV, semi-angles in mrad.
"""

from napari_lot.settings.measurement import Data
from napari_lot.settings.microscope import ABERRATIONS, FWHM_PER_SIGMA, Microscope
from napari_lot.settings.model import ORBITALS, Model, Start
from napari_lot.settings.solver import REFINED_BY_DEFAULT, Refinable, Solver
from napari_lot.settings.tracing import Tracing
from napari_lot.settings.whole import (
    Output,
    Settings,
    facts_as_settings,
    in_words,
    load_settings,
    settings_from_dict,
)

__all__ = [
    "ABERRATIONS",
    "FWHM_PER_SIGMA",
    "ORBITALS",
    "REFINED_BY_DEFAULT",
    "Data",
    "Microscope",
    "Model",
    "Output",
    "Refinable",
    "Settings",
    "Solver",
    "Start",
    "Tracing",
    "facts_as_settings",
    "in_words",
    "load_settings",
    "settings_from_dict",
]
