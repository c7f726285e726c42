"""The probe-forming lens."""

from __future__ import annotations

from pydantic import Field

from napari_lot.settings.section import Frozen

FWHM_PER_SIGMA = 2.3548200450309493
"""Full width at half maximum of a Gaussian in standard deviations."""


class Microscope(Frozen):
    """The probe-forming lens (aberrations in Krivanek's names, as abTEM has them)."""

    energy_eV: float | None = Field(None, gt=1e3, le=3e6, description="Electron energy in eV.")
    semiangle_mrad: float | None = Field(None, ge=1, le=200, description="Convergence semi-angle in mrad.")
    defocus_A: float = Field(
        0.0, ge=-1e5, le=1e5, description="Focal plane in Å from the rotation centre, downstream positive."
    )
    c12_A: float = Field(0.0, ge=0, le=1e5, description="Two-fold astigmatism in Å.")
    phi12_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the two-fold astigmatism in degrees.")
    c21_A: float = Field(0.0, ge=0, le=1e7, description="Axial coma in Å.")
    phi21_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the coma in degrees.")
    c23_A: float = Field(0.0, ge=0, le=1e7, description="Three-fold astigmatism in Å.")
    phi23_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the three-fold astigmatism in degrees.")
    c30_A: float = Field(0.0, ge=-1e9, le=1e9, description="Spherical aberration C30 (Cs) in Å.")
    c50_A: float = Field(0.0, ge=-1e10, le=1e10, description="Fifth-order spherical aberration C50 in Å.")
    source_size_A: float = Field(
        0.0, ge=0, le=10, description="Effective source size, full width at half maximum, in Å."
    )
    focal_spread_A: float = Field(
        0.0, ge=0, le=1e3, description="Standard deviation of the focal spread (chromatic) along the beam in Å."
    )


ABERRATIONS = (
    ("defocus", "defocus_A", None),
    ("C12", "c12_A", "phi12_deg"),
    ("C21", "c21_A", "phi21_deg"),
    ("C23", "c23_A", "phi23_deg"),
    ("C30", "c30_A", None),
    ("C50", "c50_A", None),
)
"""What the lens departs by: its name in a text, the field of its size, and that of its azimuth where it has one."""
