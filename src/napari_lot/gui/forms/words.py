"""The window's words: what a setting is called in it, and messages without the command line's flags. No Qt."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath

from napari_lot.settings import Settings
from napari_lot.voxel.methods import METHODS, sections

UNITS_OF = {"bin": "px", "grid_spacing": "× distance", "gain": "units / e⁻", "offset": "units", "read_noise": "units"}
"""Of fields whose names do not end in it."""
UNITS = {"eV": "keV", "mrad": "mrad", "A": "Å", "deg": "°", "px": "px", "minutes": "min"}
"""The window's units, by those that the settings' names end in."""
FACTORS = {"keV": 1000.0}
"""How many of a setting's units one of the window's is, where these differ: files give energies in eV."""

OF_LAYER = "layer "
"""Before a layer's name in the setting ``start.kind``."""

# What a person calls a setting, where the field's own name says it badly.
LABELS = {
    "energy_eV": "Energy",
    "semiangle_mrad": "Semi-angle",
    "defocus_A": "Defocus",
    "c12_A": "Astigmatism C12",
    "phi12_deg": "  azimuth φ12",
    "c21_A": "Coma C21",
    "phi21_deg": "  azimuth φ21",
    "c23_A": "3-fold astig. C23",
    "phi23_deg": "  azimuth φ23",
    "c30_A": "Spherical C30, Cs",
    "c50_A": "5th order C50",
    "source_size_A": "Source size, FWHM",
    "focal_spread_A": "Focal spread, σ",
    "pixel_size_A": "Pixel size",
    "tilt_axis_deg": "Tilt axis",
    "thickness_A": "Film thickness",
    "spacing_A": "Neighbour distance",
    "probe": "Model",
    "max_minutes": "Time limit",
    "seed": "Random seed",
    "counts": "Electron counts",
    "elements": "Element",
    "kind": "Start from",
    "exclude": "Exclude tilts",
    "gain": "Detector gain",
    "offset": "Detector offset",
    "handedness": "Which hand",
    "bin": "Bin",
    "align": "Find the centre",
    "cutoff": "Cutoff",
    "hull_margin_A": "Hull margin",
    "most_move_A": "Farthest move",
    "min_distance_A": "Least distance",
    "maximum_within_A": "Largest within",
    "fit": "Position between voxels",
    "degree": "Degree of polynomial",
    "withheld": "Points withheld",
    "withheld_block": "  in blocks of",
    "threshold_every": "Support anew every",
    "reproject_every": "R anew every",
}

# What a person calls the choices of a setting, where the settings' own words are code.
CHOICES = {
    "kind": {"grid": "a grid of orbitals"},
    "likelihood": {"auto": "automatic", "lsq": "least squares", "poisson": "Poisson"},
    "widths": {"species": "one an element", "common": "one for all", "atom": "one an atom"},
    "distortion": {"series": "one for the series", "tilt": "one a tilt"},
    "error_bars": {"block": "each atom by itself", "joint": "with its neighbours"},
    "handedness": {"tilt_sense": "tilt sense"},
    "weighting": {"auto": "automatic", "exact": "exact filter"},
    "support": {"none": "anywhere", "hull": "hull of the images", "threshold": "where it is not weak"},
    "enforcement": {
        "extension_suppression": "extension, then suppression",
        "all": "all at every iteration",
    },
    "placement": {"nearest": "nearest equal slope", "exact": "exact slope"},
    "fit": {
        "ellipsoid": "ellipsoid: three widths",
        "gaussian": "Gaussian: one width",
        "polynomial": "polynomial",
        "none": "none: the voxel itself",
    },
    "device": {"auto": "the fastest there is", "cpu": "CPU", "cuda": "CUDA", "mps": "Apple GPU"},
}


# Help on settings whose choices the window calls otherwise.
TIPS = {
    "likelihood": "Least squares or Poisson; automatic takes Poisson for counts.",
    "widths": "Widths of the orbitals: one an element, one for all, or one an atom.",
    "error_bars": "Error bars of the atoms: none, each atom by itself, or with its neighbours unknown, too.",
    "device": "Where images are calculated: the fastest there is takes CUDA, else an Apple GPU, else the CPU.",
}


def choice_text(name: str, value: str) -> str:
    """What a choice of a setting is called."""
    return CHOICES.get(name, {}).get(value, value)


def unit_of(name: str) -> str:
    """Unit in which the window shows a field, which most names end in; '' for a plain number."""
    if name in UNITS_OF:
        return UNITS_OF[name]
    return UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""


def stem_of(name: str) -> str:
    """A field's name without the unit that it ends in."""
    return name.rsplit("_", 1)[0] if unit_of(name) and name not in UNITS_OF else name


def label_of(name: str) -> str:
    """Label of a field: its name without the unit, in words."""
    if name in LABELS:
        return LABELS[name]
    return stem_of(name).replace("_", " ").capitalize()


# A label that says more than the name that a sentence needs.
_LONG = {"withhold": "Withhold every N-th tilt"}


def row_label(name: str) -> str:
    """Label of a field in a form; the unit stands in the field."""
    return _LONG.get(name, label_of(name))


def _window_words() -> dict[str, str]:
    """What the command line and the settings call a thing, and what the window calls it."""
    words = {
        "--out": "folder",
        "--overwrite": "tick 'replace what is there'",
        "--angles": "Tilt angles",
        "--mask": "Mask",
        "mask these pixels (--mask) or exclude these tilts (--exclude)": (
            "mask these pixels, or exclude these tilts, with Mask or Exclude tilts under 'More about the data'"
        ),
        "leave it out (--exclude)": "leave it out with Exclude tilts under 'More about the data'",
        "--element": "Element",
        "--fix": "Refine",
        "give an angle file": "under Tilt angles choose 'start and step', or an angle file",
    }
    for section, info in Settings.model_fields.items():
        for name in info.annotation.model_fields:  # type: ignore[union-attr]
            for flag in (name, stem_of(name)):
                words.setdefault("--" + flag.replace("_", "-"), label_of(name))
            words[f"{section}.{name}"] = label_of(name)
    for method in METHODS:
        for section, kind in sections(method).items():
            words |= {f"{section}.{name}": label_of(name) for name in kind.model_fields if section != "data"}
    return words | {
        "--bin": "Bin",
        "--set grid.shape=[Z,Y,X]": "Voxels z, y, x",
        "grid.shape": "Voxels z, y, x",
        "--set grid.background=...": "Background",
    }


_WORDS = _window_words()
_KNOWN = re.compile(rf"(?<![\w./\\-])({'|'.join(map(re.escape, sorted(_WORDS, key=len, reverse=True)))})(?![\w/\\-])")


# Up to the first colon before a space: names and drives may have colons of their own.
_PLACE = re.compile(r"((?:/|~/|[A-Za-z]:[\\/]).*?): ")


def in_window_words(sentence: str) -> str:
    """A message with the window's labels where it names flags of the command line or settings.

    A place that it begins with becomes the name alone, its folder comes last: a notification shows the first words.
    """
    folder = ""
    if found := _PLACE.match(sentence):
        kind = PureWindowsPath if "\\" in found[1] else PurePosixPath
        path = kind(found[1])
        if path.name:
            sentence = f"{path.name}: {sentence[found.end() :]}"
            folder = f" Folder: {path.parent}"
    return _KNOWN.sub(lambda found: _WORDS[found[1]], sentence) + folder
