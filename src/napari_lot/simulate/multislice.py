"""HAADF images of one tilt by multislice, through abTEM with PRISM (C. Ophus, Adv. Struct. Chem. Imaging 3, 13 (2017)).

An image is calculated once over the whole periodic cell, on a grid of scan positions that holds all that the probe can
show (``scan_step_A``). Being periodic and band-limited it can be sampled anywhere afterwards (:mod:`.tilts`), so
that pixels, drift, source size and dose need no further multislice.

abTEM is the extra ``[multislice]`` of this package and imported only where a tilt is calculated.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.errors import InputError
from napari_lot.physics.optics import require_probe
from napari_lot.settings import Microscope
from napari_lot.simulate.settings import Multislice

# abTEM's antialiasing aperture keeps two thirds of the band, with an edge of one hundredth of it.
_KEPT_BAND = 2.0 / 3.0
_VACUUM_W_A = 1.0
_REDUCTION_BATCH = 256
"""Scan positions at a time: abTEM's own choice takes several times as long."""


@dataclass(frozen=True)
class Cell:
    """The square periodic cell of all tilts: the particle's rotation centre in its middle.

    Attributes
    ----------
    side_A : float
        Å along u and v.
    grid : int
        Points of potential and waves along each.
    scan : int
        Scan positions along each, odd, so that no frequency is its own negative.
    inner_mrad, outer_mrad : float
        Detector.
    """

    side_A: float
    grid: int
    scan: int
    inner_mrad: float
    outer_mrad: float

    @classmethod
    def around(cls, reach_A: float, microscope: Microscope, settings: Multislice) -> Cell:
        """The cell of a particle within ``reach_A`` of the rotation centre.

        Raises
        ------
        InputError
            Energy or semi-angle missing, or a detector or an aperture beyond what the sampling holds.
        """
        wavelength_A, semiangle = require_probe(microscope)
        side = 2.0 * (reach_A + settings.margin_A)
        multiple = 2 * settings.interpolation
        grid = multiple * int(fft.next_fast_len(int(np.ceil(side / settings.sampling_A / multiple))))
        # What is left of the band: two thirds, less the aperture's edge and a step of the grid.
        edge = 1e3 * wavelength_A * (_KEPT_BAND * 0.5 * grid - 2.0) / side * 0.98
        outer = edge if settings.outer_mrad is None else settings.outer_mrad
        if outer > edge or 1e3 * semiangle >= edge:
            asked = max(outer, 1e3 * semiangle)
            needed = settings.sampling_A * edge / asked
            raise InputError(
                f"A sampling of {settings.sampling_A:g} Å holds scattering to {edge:.1f} mrad, not to {asked:g}: "
                f"give a sampling below {0.99 * needed:.3f} Å, or a smaller angle."
            )
        if settings.inner_mrad >= outer:
            raise InputError(
                f"The detector's inner angle of {settings.inner_mrad:g} mrad must be below its outer one, {outer:.1f}: "
                f"a sampling of {settings.sampling_A:g} Å holds scattering to {edge:.1f} mrad."
            )
        nyquist = wavelength_A / (4.0 * semiangle)
        scan = int(np.ceil(side / (settings.scan_step_A or nyquist))) | 1
        return cls(side, grid, scan, settings.inner_mrad, float(outer))


def require_abtem() -> Any:
    """abTEM, or an InputError that names the extra."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import abtem
            import ase  # noqa: F401
    except ImportError:
        raise InputError(
            'Multislice needs the package abTEM, which is not installed: pip install "napari-lot[multislice]".'
        ) from None
    return abtem


def tilt_image(
    positions_uvw: NDArray[np.float64],
    symbols: list[str],
    cell: Cell,
    microscope: Microscope,
    settings: Multislice,
    threads: int = 1,
) -> NDArray[np.float64]:
    """HAADF image of one tilt over the whole cell, as the share of the beam on the detector.

    Parameters
    ----------
    positions_uvw : (N, 3)
        Atoms in Å in the image frame, w along the beam, origin at the rotation centre.
    symbols : list of str
        Element of each.
    cell, settings
    microscope : Microscope
        The source size is left to :mod:`.tilts`; the focal spread is averaged here.
    threads : int
        Of abTEM's transforms and products.

    Returns
    -------
    (scan, scan) float64
        [v, u]; the pixel [0, 0] is the corner of the cell, ``side_A / 2`` up and left of the rotation centre.
    """
    abtem = require_abtem()
    import ase
    from threadpoolctl import threadpool_limits

    top = float(positions_uvw[:, 2].min()) - _VACUUM_W_A  # w of the entrance surface
    slices = int(np.ceil((float(positions_uvw[:, 2].max()) + _VACUUM_W_A - top) / settings.slice_A))
    depth = slices * settings.slice_A
    half = 0.5 * cell.side_A
    atoms: Any = ase.Atoms(
        symbols,
        positions=positions_uvw + np.array([half, half, -top]),
        cell=[cell.side_A, cell.side_A, depth],
        pbc=True,
    )
    if settings.phonon_configurations:
        atoms = abtem.FrozenPhonons(
            atoms, settings.phonon_configurations, sigmas=settings.phonon_rms_A, seed=settings.seed
        )
    quiet = {
        "diagnostics.progress_bar": False,
        "dask.lazy": False,
        "fftw.threads": threads,
        "warnings.overspecified-grid": False,
    }
    with abtem.config.set(quiet), threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        potential = abtem.Potential(
            atoms, gpts=cell.grid, slice_thickness=settings.slice_A, projection="infinite", parametrization="lobato"
        )
        scan = abtem.GridScan((0.0, 0.0), (cell.side_A, cell.side_A), gpts=cell.scan, endpoint=False)
        detector = abtem.AnnularDetector(cell.inner_mrad, cell.outer_mrad)
        image = np.zeros((cell.scan, cell.scan))
        configurations = max(1, settings.phonon_configurations)
        for _, _, block in abtem.SMatrix(
            semiangle_cutoff=microscope.semiangle_mrad,
            energy=microscope.energy_eV,
            potential=potential,
            interpolation=settings.interpolation,
        ).generate_blocks(1):
            s_matrix = block.item().build(lazy=False)
            for defocus_A, weight in _foci(microscope):
                # abTEM counts from the entrance surface, and lets a slice act at its upstream face.
                ctf = _lens(abtem, microscope, defocus_A - top - 0.5 * settings.slice_A, s_matrix)
                measured = s_matrix.reduce(scan=scan, detectors=detector, ctf=ctf, max_batch_reduction=_REDUCTION_BATCH)
                image += weight / configurations * np.squeeze(np.asarray(measured.array, np.float64))
    return np.ascontiguousarray(image.T)  # abTEM's arrays are [x, y]


def _foci(microscope: Microscope) -> list[tuple[float, float]]:
    """Defoci in Å and their weights: Gauss-Hermite over the focal spread."""
    if not microscope.focal_spread_A:
        return [(microscope.defocus_A, 1.0)]
    node, weight = np.polynomial.hermite_e.hermegauss(7)
    weight = weight / weight.sum()
    return [
        (microscope.defocus_A + microscope.focal_spread_A * float(n), float(w))
        for n, w in zip(node, weight, strict=True)
    ]


def _lens(abtem: Any, microscope: Microscope, defocus_A: float, s_matrix: Any) -> Any:
    """abTEM's transfer function; aberration names and azimuths are the same as ours, in radians there.

    The edge of the aperture is a ramp one step of the plane waves wide, as in :mod:`napari_lot.physics.optics`; here
    that is the step of the probe's window.
    """
    m = microscope
    return abtem.CTF(
        energy=m.energy_eV,
        semiangle_cutoff=m.semiangle_mrad,
        soft=True,
        extent=s_matrix.window_extent,
        gpts=s_matrix.window_gpts,
        aberration_coefficients={
            "C10": -float(defocus_A),
            "C12": m.c12_A,
            "phi12": math.radians(m.phi12_deg),
            "C21": m.c21_A,
            "phi21": math.radians(m.phi21_deg),
            "C23": m.c23_A,
            "phi23": math.radians(m.phi23_deg),
            "C30": m.c30_A,
            "C50": m.c50_A,
        },
    )
