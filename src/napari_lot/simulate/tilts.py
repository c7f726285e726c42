"""A multislice series tilt by tilt: each kept on disk once it is finished, then sampled and recorded.

A tilt of many atoms takes minutes to hours. What is finished is therefore written at once, and a repeated command
goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.files import write_whole
from napari_lot.series.checks import check_enough
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import FWHM_PER_SIGMA, Microscope
from napari_lot.simulate.images import check_angles, check_geometry, check_series_size, reach_A
from napari_lot.simulate.multislice import Cell, require_abtem, tilt_image
from napari_lot.simulate.recording import draw_unknowns, recorded
from napari_lot.simulate.settings import Multislice, Recording

PARAMETERS = "parameters.json"
# Of the microscope, what is applied after the multislice and so does not bind a finished tilt.
_AFTERWARDS = ("source_size_A",)

TiltFunction = Callable[[NDArray[np.float64], list[str], Cell, Microscope, Multislice, int], NDArray[np.float64]]
Progress = Callable[[int, int, bool], None]


class TiltStore:
    """Finished tilts in a folder, bound to the parameters that they were calculated with.

    Parameters
    ----------
    folder : path
        Made where it is absent.
    parameters : dict
        Everything that all tilts share, in JSON's types.
    replace : bool
        Give up the tilts of other parameters instead of refusing.

    Raises
    ------
    InputError
        The folder holds tilts of other parameters, or cannot be read or written.
    """

    def __init__(self, folder: str | Path, parameters: dict[str, Any], replace: bool = False) -> None:
        self.folder = Path(folder)
        self.parameters = parameters
        self.checksum = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._bind(replace)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot keep tilts there: {error.strerror or error}.") from None

    def _bind(self, replace: bool) -> None:
        note = self.folder / PARAMETERS
        try:
            before = json.loads(note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            before = None
        except (ValueError, UnicodeDecodeError):
            before = {}
        if before is not None and before != self.parameters:
            if not replace:
                raise InputError(
                    f"{self.folder}: holds tilts of other parameters ({_difference(before, self.parameters)}); repeat "
                    "the command as it was to go on, give another --out, or --overwrite to start again."
                )
            for path in self.folder.glob("tilt-*.npz"):
                path.unlink()
        if before != self.parameters:
            text = json.dumps(self.parameters, indent=1, ensure_ascii=False)
            write_whole(note, lambda temporary: temporary.write_bytes(text.encode()))

    def path(self, rotation: NDArray[np.float64]) -> Path:
        """File of the tilt of a rotation matrix: found again wherever it stands in a series."""
        return self.folder / f"tilt-{hashlib.sha256(np.round(rotation, 12).tobytes()).hexdigest()[:16]}.npz"

    def load(self, rotation: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The finished image of a rotation; None where there is none that is whole and of these parameters."""
        try:
            with self.path(rotation).open("rb") as file, np.load(file, allow_pickle=False) as held:
                image = np.asarray(held["image"], np.float64)
                whole = str(held["checksum"]) == self._of(image)
        except (OSError, ValueError, KeyError, EOFError):
            return None
        except Exception as error:  # a damaged archive: zipfile.BadZipFile, zlib.error
            if type(error).__module__ in ("zipfile", "zlib"):
                return None
            raise
        return image if whole else None

    def save(self, rotation: NDArray[np.float64], image: NDArray[np.float64]) -> None:
        """Keep a finished image; the file appears whole or not at all."""
        image = np.asarray(image, np.float32)
        checksum = self._of(image)
        write_whole(self.path(rotation), lambda temporary: np.savez(temporary, image=image, checksum=checksum))

    def _of(self, image: NDArray[Any]) -> str:
        return hashlib.sha256(self.checksum.encode() + np.asarray(image, np.float32).tobytes()).hexdigest()


def simulate_multislice(
    orbitals: Orbitals,
    angles_deg: ArrayLike,
    pixel_size_A: float,
    microscope: Microscope,
    settings: Multislice,
    folder: str | Path,
    *,
    image_shape: tuple[int, int] | None = None,
    recording: Recording | None = None,
    threads: int = 1,
    replace: bool = False,
    progress: Progress | None = None,
    calculate: TiltFunction | None = None,
) -> TiltSeries:
    """Tilt series by multislice, of the atoms' elements and positions (heights and widths do not matter).

    Parameters
    ----------
    orbitals : Orbitals
        Elements must be known.
    angles_deg : (T, 3) or (T,)
    pixel_size_A : float
    microscope : Microscope
        Source size and drift are applied to the finished images, exactly: they are periodic and band-limited.
    settings : Multislice
    folder : path
        Where finished tilts are kept.
    image_shape : (V, U), optional
        Pixels; what lies beyond the cell is vacuum.
    recording : Recording, optional
        With a dose, electrons on the detector are counted.
    threads : int
    replace : bool
        Start again where the folder holds tilts of other parameters.
    progress : callable, optional
        ``(finished, all, was kept from before)``, called once before the first tilt and after each.
    calculate : callable, optional
        In place of :func:`~napari_lot.simulate.multislice.tilt_image`.

    Returns
    -------
    TiltSeries
        As of :func:`~napari_lot.simulate.images.simulate_series`.

    Raises
    ------
    InputError
        abTEM is missing, an element unknown, or numbers are out of range.
    """
    recording = recording or Recording()
    angles = check_angles(angles_deg)
    image_shape = check_geometry(orbitals, pixel_size_A, image_shape)
    check_series_size(len(angles), image_shape)
    if "X" in orbitals.symbols:
        raise InputError("Multislice needs the element of every atom; some are unknown (X).")
    check_enough(angles, np.arange(len(angles)), "simulated series")
    cell = Cell.around(reach_A(orbitals), microscope, settings)
    version = "" if calculate is not None else str(require_abtem().__version__)
    unknowns, rng = draw_unknowns(recording, angles, pixel_size_A)
    store = TiltStore(folder, _parameters(orbitals, microscope, settings, cell, version), replace)
    calculate = calculate or tilt_image
    images = np.empty((len(angles), *image_shape))
    if progress is not None:
        progress(0, len(angles), False)
    for index, rotation in enumerate(unknowns.rotations):
        whole = store.load(rotation)
        kept = whole is not None
        if whole is None:
            made = calculate(orbitals.positions @ rotation.T, orbitals.symbols, cell, microscope, settings, threads)
            whole = made.astype(np.float32).astype(np.float64)  # as it is kept: going on changes nothing
            store.save(rotation, whole)
        images[index] = sample(
            whole, cell.side_A, image_shape, pixel_size_A, unknowns.shifts_px[index], microscope.source_size_A
        )
        if progress is not None:
            progress(index + 1, len(angles), kept)
    how = {**settings.model_dump(), **asdict(cell)}
    source = "simulated series (multislice)"
    return recorded(images, angles, pixel_size_A, recording, unknowns, rng, source, multislice=how)


def sample(
    whole: NDArray[np.float64],
    side_A: float,
    image_shape: tuple[int, int],
    pixel_size_A: float,
    shift_px: ArrayLike,
    source_size_A: float,
) -> NDArray[np.float64]:
    """Pixels of a periodic image by its Fourier series, with a Gaussian source and a drift; 0 beyond the cell.

    Parameters
    ----------
    whole : (n, n)
        [v, u] over the cell, n odd; the rotation centre is in the middle of the cell.
    side_A : float
    image_shape : (V, U)
        Its rotation centre is at (n - 1) / 2.
    pixel_size_A : float
    shift_px : (2,)
        (du, dv).
    source_size_A : float
        Full width at half maximum in Å.
    """
    order = np.fft.fftfreq(len(whole), 1 / len(whole))
    source = np.exp(-2.0 * (np.pi * source_size_A / FWHM_PER_SIGMA * order / side_A) ** 2)
    spectrum = np.fft.fft2(whole) / whole.size * np.outer(source, source)
    waves, inside = [], []
    for pixels, drift in zip(image_shape, np.asarray(shift_px, np.float64)[::-1], strict=True):
        place = (np.arange(pixels) - 0.5 * (pixels - 1) - drift) * pixel_size_A
        waves.append(np.exp(2j * np.pi * np.outer(place / side_A + 0.5, order)))
        inside.append(np.abs(place) <= 0.5 * side_A)
    sampled = (waves[0] @ spectrum @ waves[1].T).real
    return np.asarray(sampled * np.outer(*inside), np.float64)


def _parameters(
    orbitals: Orbitals, microscope: Microscope, settings: Multislice, cell: Cell, version: str
) -> dict[str, Any]:
    """What binds all tilts, in JSON's types."""
    atoms = hashlib.sha256(np.round(orbitals.positions, 9).tobytes() + ",".join(orbitals.symbols).encode())
    lens = microscope.model_dump(mode="json")
    return {
        "atoms": len(orbitals),
        "atoms_checksum": atoms.hexdigest(),
        **{name: value for name, value in lens.items() if name not in _AFTERWARDS},
        **settings.model_dump(mode="json"),
        "cell": {name: round(value, 9) for name, value in asdict(cell).items()},
        "abtem": version,
    }


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first parameter that differs, in words."""
    if not before:
        return f"{PARAMETERS} cannot be read"
    name = next(n for n in {**now, **before} if before.get(n) != now.get(n))
    if name == "atoms_checksum":
        return "other atoms"
    return f"{name} was {before.get(name)!r}, now {now.get(name)!r}"
