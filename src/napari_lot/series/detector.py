"""What a pixel's value says of electrons, and with it the likelihood of a run: chosen here once, and why.

A detector reads ``offset + gain * electrons``, with Gaussian read noise. Adding the variance of the read noise, in
electrons, to both the measured electrons and the expected ones makes their sum nearly Poisson again (Snyder, Helstrom,
Lanterman, Faisal & White, J. Opt. Soc. Am. A 12, 272, 1995): its mean and its variance are both rate + variance. The
fit has a background of each tilt, so that it is enough to shift the zero of the values once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_lot.errors import InputError
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Settings

Kind = Literal["lsq", "poisson"]
FITTED_BY: dict[str, str] = {"lsq": "fitted by least squares", "poisson": "fitted by Poisson likelihood"}


LARGEST_COUNT = 2**24
"""From here on single precision has whole numbers only."""


@dataclass(frozen=True)
class Detector:
    """From a value of the file to electrons: ``(value - offset) / gain``, with a read noise in electrons.

    ``gain`` in the file's units per electron, ``offset`` in the file's units, ``read_variance`` in electrons squared.
    """

    gain: float = 1.0
    offset: float = 0.0
    read_variance: float = 0.0

    @property
    def zero(self) -> float:
        """Where to count from so that a value's variance is its mean: (value - zero) / gain is raised by it."""
        return self.offset - self.gain * self.read_variance


@dataclass(frozen=True)
class Choice:
    """The likelihood of a run and why, as a person reads it; ``detector`` where values can be turned into electrons."""

    kind: Kind
    why: str
    detector: Detector | None

    @property
    def words(self) -> str:
        """Both as a clause: 'fitted by Poisson likelihood: the images are electron counts'."""
        return fitted_by({"kind": self.kind, "why": self.why})


def fitted_by(likelihood: Mapping[str, str]) -> str:
    """What a report says under ``likelihood``, as a clause."""
    return f"{FITTED_BY[likelihood['kind']]}: {likelihood['why']}"


def detector_of(series: TiltSeries, settings: Settings) -> Detector | None:
    """How values become electrons; None where nobody says, or where denoising has made that of no use.

    Raises
    ------
    InputError
        The settings contradict each other, or say something that would be ignored.
    """
    data = settings.data
    if series.counts and data.gain is not None and data.gain != 1:
        raise InputError(
            f"{series.source}: the images are electron counts, yet data.gain is {data.gain:g} units per electron: "
            "leave out one of them."
        )
    known = series.counts or data.gain is not None
    for name, value in (("offset", data.offset), ("read_noise", data.read_noise)):
        if value and not known:
            raise InputError(
                f"{series.source}: data.{name} is {value:g}, but without a gain it cannot be turned into electrons: "
                "give data.gain as well, or leave it out."
            )
    if data.denoised and (data.gain is not None or data.offset or data.read_noise):
        raise InputError(
            f"{series.source}: gain, offset and read noise say nothing of the noise of denoised images: "
            "leave them out, or data.denoised."
        )
    if not known or data.denoised:
        return None
    gain = data.gain or 1.0
    return Detector(gain, data.offset, (data.read_noise / gain) ** 2)


def _look_like_counts(series: TiltSeries) -> bool:
    """Whether all values of the first tilt that is used are whole numbers, none of them negative."""
    used = next((t for t in range(len(series)) if t not in series.excluded), 0)
    image = series.images[used]
    return bool((image >= 0).all() and (image == np.rint(image)).all() and image.max() < LARGEST_COUNT)


def choose_likelihood(series: TiltSeries, settings: Settings) -> Choice:
    """Least squares or Poisson, and why.

    Raises
    ------
    InputError
        Poisson is asked for and nothing says what an electron is, or the settings contradict each other.
    """
    detector, asked = detector_of(series, settings), settings.model.likelihood
    if asked == "poisson" and settings.data.denoised:
        raise InputError(
            f"{series.source}: denoised images do not have the noise of counts: take least squares "
            "(--likelihood lsq), or leave out data.denoised."
        )
    if asked == "poisson" and detector is None:
        raise InputError(
            f"{series.source}: the Poisson likelihood needs electron counts (--likelihood poisson): say that the "
            "images are counts (--counts), give the detector's gain (data.gain), or take least squares "
            "(--likelihood lsq)."
        )
    if asked == "lsq":
        return Choice("lsq", "as asked for", detector)
    if settings.data.denoised:
        return Choice("lsq", "the images were denoised, so that their noise is no longer that of electrons", None)
    if detector is None:
        why = "nothing says how the values relate to electrons (counts, or a detector's gain)"
        if _look_like_counts(series):
            why += "; they are whole numbers: if these are electrons, say that the images are counts"
        return Choice("lsq", why, None)
    if series.counts:
        why = "the images are electron counts"
    else:
        why = f"the detector's gain is given, electrons are (value − {detector.offset:g}) / {detector.gain:g}"
    if detector.read_variance:
        why += f", with a read noise of {detector.read_variance**0.5:.3g} electrons"
    return Choice("poisson", why, detector)
