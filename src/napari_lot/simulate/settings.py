"""Settings of a simulation: the particle, what the recording adds, the multislice calculation.

One pydantic field each, with unit and bounds; the flags of ``napari-lot simulate`` are made from them.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_lot.errors import InputError
from napari_lot.settings import in_words

Kind = Literal["amorphous", "fcc", "icosahedron", "decahedron"]

# Which sizes each kind has, and which of them it cannot do without.
_SIZES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "amorphous": (("diameter_A", "min_distance_A", "atoms"), ("diameter_A",)),
    "fcc": (("shells", "lattice_A"), ("shells",)),
    "icosahedron": (("shells", "lattice_A"), ("shells",)),
    "decahedron": (("edge", "length", "notch", "lattice_A"), ("edge", "length")),
}


class Checked(BaseModel):
    """Settings whose problems become one sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """The settings of these values; absent ones (None) keep their default.

        Raises
        ------
        InputError
            A value out of bounds, with its name.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0] if first["loc"] else cls.__name__
            raise InputError(f"{name}: {in_words(error)} (given: {first['input']!r}).") from None


class Recording(Checked):
    """What the recording adds, in this order: angle errors, drift, current, background, Poisson noise, detector.

    Detector units are ``gain * electrons + offset + normal read noise``; without a dose intensity takes the place of
    electrons.
    """

    dose_e_per_A2: float | None = Field(
        None, gt=0, le=1e12, description="Electrons per Å^2 and tilt; noise is Poisson. Without it noise-free."
    )
    drift_A: float = Field(
        0.0, ge=0, le=1e3, description="Misalignment left in each tilt: standard deviation along u and v in Å."
    )
    angle_error_deg: float = Field(
        0.0,
        ge=0,
        le=90,
        description="Errors of the tilt angles: standard deviation in degrees of turns about u, v and w that nobody "
        "knows of.",
    )
    current_spread: float = Field(
        0.0, ge=0, le=0.5, description="Relative standard deviation of the beam current from tilt to tilt."
    )
    background: float = Field(
        0.0, ge=0, le=1e9, description="Added to each pixel: electrons with a dose, intensity without."
    )
    gain: float = Field(1.0, gt=0, le=1e9, description="Detector units per electron, or per unit of intensity.")
    offset: float = Field(0.0, ge=-1e9, le=1e9, description="What the detector shows without a beam, detector units.")
    read_noise: float = Field(
        0.0, ge=0, le=1e9, description="Standard deviation of the detector's normal read noise in detector units."
    )
    seed: int = Field(0, ge=0, description="Seed of angles, drift, current and noise; the same gives the same series.")

    @property
    def counts(self) -> bool:
        """Whether detector units are electron counts: a dose, and a detector that changes nothing."""
        plain = self.gain == 1.0 and self.offset == 0.0 and self.read_noise == 0.0
        return self.dose_e_per_A2 is not None and plain


class SizeError(InputError):
    """A size that a kind of particle lacks or has not: a sentence with a ``{}`` for each of the ``names``."""

    def __init__(self, sentence: str, *names: str) -> None:
        super().__init__(sentence.format(*names))
        self.sentence, self.names = sentence, names


class Recipe(Checked):
    """Kind and size of a particle; sizes that another kind has stay unset."""

    kind: Kind = Field(description="amorphous (random, with a smallest distance), fcc, icosahedron or decahedron.")
    diameter_A: float | None = Field(None, gt=0, le=1e4, description="amorphous: diameter of the sphere in Å.")
    min_distance_A: float | None = Field(
        None, gt=0, le=20, description="amorphous: smallest distance of two atoms in Å; from the element when absent."
    )
    atoms: int | None = Field(None, ge=1, le=10**8, description="amorphous: atoms; a dense glass when absent.")
    shells: int | None = Field(
        None,
        ge=1,
        le=200,
        description="fcc: atoms along an edge of the truncated octahedron, less one; icosahedron: shells around the "
        "central atom, which counts as one.",
    )
    edge: int | None = Field(
        None, ge=2, le=500, description="decahedron: atoms along an edge perpendicular to the five-fold axis."
    )
    length: int | None = Field(
        None, ge=1, le=500, description="decahedron: atoms along a (100) face, parallel to the axis."
    )
    notch: int | None = Field(None, ge=0, le=100, description="decahedron: depth of the notches in atoms; 0 is plain.")
    lattice_A: float | None = Field(
        None, gt=0.5, le=50, description="fcc, icosahedron, decahedron: lattice constant; the element's when absent."
    )

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """As of every settings; InputError also for a size that is missing or that another kind has."""
        recipe = super().checked(**values)
        has, needs = _SIZES[recipe.kind]
        for name in cls.model_fields:
            given = name != "kind" and getattr(recipe, name) is not None
            if given and name not in has:
                listed = ", ".join(["{}"] * len(has))
                raise SizeError(f"{{}}: a particle of kind {recipe.kind} has none; it has {listed}.", name, *has)
        missing = [name for name in needs if getattr(recipe, name) is None]
        if missing:
            listed = " and ".join(["{}"] * len(missing))
            raise SizeError(f"A particle of kind {recipe.kind} needs {listed}.", *missing)
        return recipe


class Multislice(Checked):
    """The multislice calculation: detector, slices, grid, PRISM, frozen phonons."""

    inner_mrad: float = Field(60.0, gt=0, le=1000, description="Inner angle of the annular detector in mrad.")
    outer_mrad: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Outer angle of the annular detector in mrad; when absent the largest that the sampling holds, "
        "lambda / (3 sampling).",
    )
    slice_A: float = Field(1.0, gt=0.05, le=10, description="Slice thickness in Å.")
    sampling_A: float = Field(0.05, gt=0.005, le=0.5, description="Grid of the potential and the waves in Å.")
    interpolation: int = Field(
        4, ge=1, le=64, description="PRISM interpolation: every probe sees this part of the cell's width; 1 is exact."
    )
    scan_step_A: float | None = Field(
        None,
        gt=0.01,
        le=5,
        description="Largest step of the scan in Å; when absent lambda / (4 alpha), at which nothing is lost.",
    )
    margin_A: float = Field(5.0, ge=1, le=100, description="Vacuum between the particle and the edge of the cell in Å.")
    phonon_configurations: int = Field(
        0, ge=0, le=10000, description="Frozen-phonon configurations that are averaged; 0 leaves the atoms at rest."
    )
    phonon_rms_A: float = Field(
        0.08, ge=0, le=1, description="Displacement of an atom along each axis (standard deviation) in Å, with phonons."
    )
    seed: int = Field(0, ge=0, description="Seed of the phonons.")
