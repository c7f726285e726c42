"""Which hand the structure has: the fit against its mirrored twin, and a verdict only where the images give one.

Two questions, each asked as if the answer to the other were known:

- tilt sense: are the tilts turned the way the angles say? The twin has R' = M R M and atoms at M r, M = diag(1, 1, -1).
- reflection: are the images seen from behind? The twin has R' = F R F, atoms at F r, F = diag(1, -1, 1), and images
  flipped in v.

Neither twin is fitted with mirrored rotations, atoms and images, but, in the same frame, with the mirrored probe, for
that is the same: the intensity of a probe is the same when depth and all even aberrations are negated (psi becomes its
complex conjugate; odd aberrations stay), and flips with the azimuths of its aberrations. So a twin differs only by its
lens, and where the lens is its own mirror image (in focus, round) no image can tell the hands apart.

Both hands are fitted alike until the difference of their log-likelihoods has settled. A verdict needs a difference of
more than 8 (four standard deviations) and Vuong's statistic over the tilts above 3 (Vuong, Econometrica 57, 307, 1989).
And the images must not ask for another lens, half-way to one that could not tell the hands apart: a lens that is wrong
for both hands lets a chance arrangement of atoms speak for one of them, at every tilt.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from napari_lot.lot.aberrations import fit_aberrations
from napari_lot.lot.fitting import Fit, Progress
from napari_lot.physics.optics import aberration_phase
from napari_lot.settings import Microscope

Floats = NDArray[np.float64]
Question = Literal["tilt_sense", "reflection"]
Verdict = Literal["this hand", "the other hand", "undecidable"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

LEAST_GAIN = 8.0
"""Difference of the log-likelihoods, four standard deviations, that a verdict needs."""
LEAST_SIGNIFICANCE = 3.0
"""Vuong's statistic over the tilts that a verdict needs, in standard deviations of a normal distribution."""
SAME_PHASE = 1e-6
"""Radians anywhere in the aperture below which two lenses are the same."""
MOST_DOUBT = 0.25
"""Change of the lens that the images may ask for, as a part of what parts it from its mirror image."""
STEPS, ROUNDS = 50, 6
"""Quasi-Newton steps that each hand is fitted in turn, and how often at most."""
GROUPS = ("positions", "height", "width", "shifts", "angles", "scale", "background")
"""What either hand may fit, besides the shape of orbitals and the geometry of images that the run has fitted."""

_NAMES = {"tilt_sense": "Tilt sense", "reflection": "Reflection"}
_OTHERWISE = {
    "tilt_sense": "with the tilts turned the other way",
    "reflection": "with the images flipped (seen from behind)",
}
_CHECK = {
    "tilt_sense": "check the sign of the tilt angles, of the defocus and of C30",
    "reflection": "check whether the images were flipped, and the azimuths of the aberrations",
}
_DECIDES = {
    "tilt_sense": "only a focus away from the rotation centre, C12, C30 or C50 of known sign tells the senses apart",
    "reflection": "only coma, C12 or C23 of a known direction that the flip changes tells images from their reflection",
}


@dataclass(frozen=True)
class Hand:
    """The answer to one question.

    Attributes
    ----------
    verdict : "this hand", "the other hand" or "undecidable"
    gain : float or None
        Log-likelihood of this hand less that of the other, in units of the noise; None where nothing was fitted.
    significance : float or None
        Vuong's statistic over the tilts, of the same sign.
    sentence : str
        For a person.
    """

    verdict: Verdict
    gain: float | None
    significance: float | None
    sentence: str


def mirrored(lens: Microscope, question: Question) -> Microscope:
    """The lens that, in this hand's frame, makes the images of the other hand.

    Tilt sense: all even aberrations (C10, C12, C30, C50) negated. Reflection (v to -v): all azimuths negated.
    """
    if question == "tilt_sense":
        turned = lens.phi12_deg + (90.0 if lens.phi12_deg <= 0 else -90.0)  # -C12 is C12 a quarter turn on
        change = {
            "defocus_A": -lens.defocus_A,
            "phi12_deg": turned if lens.c12_A else lens.phi12_deg,
            "c30_A": -lens.c30_A,
            "c50_A": -lens.c50_A,
        }
    else:
        change = {name: -getattr(lens, name) for name in ("phi12_deg", "phi21_deg", "phi23_deg")}
    return lens.model_copy(update=change)


def phase_difference(lens: Microscope, other: Microscope) -> float:
    """Largest difference in radians of the aberration functions of two lenses within the aperture."""
    azimuth = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    alpha = 1e-3 * (lens.semiangle_mrad or 0.0) * np.linspace(0.1, 1, 10)[:, None]
    return float(np.abs(aberration_phase(lens, alpha, azimuth) - aberration_phase(other, alpha, azimuth)).max())


def judge(gains: Floats) -> tuple[Verdict, float, float]:
    """Verdict, total gain and Vuong's statistic of the gains (T,) in log-likelihood that this hand has at each tilt.

    The statistic, sum / (sqrt(T) std), is given as the standard deviations of a normal distribution that are as
    improbable as it is in Student's: a few tilts know their scatter badly.
    """
    total, significance = float(gains.sum()), 0.0
    if len(gains) > 1 and total != 0:
        raw = total / (np.sqrt(len(gains)) * max(float(gains.std(ddof=1)), 1e-12 * abs(total)))
        significance = float(np.copysign(special.ndtri_exp(stats.t.logsf(abs(raw), len(gains) - 1)), raw))
    if abs(total) <= LEAST_GAIN or abs(significance) <= LEAST_SIGNIFICANCE:
        return "undecidable", total, significance
    return "this hand" if total > 0 else "the other hand", total, significance


def asked(setting: str) -> tuple[Question, ...]:
    """The questions that ``solver.handedness`` asks."""
    return tuple(q for q in QUESTIONS if setting in (q, "both"))


class Handedness:
    """Compares a converged fit with its twins; the fit itself and its model are left as they are.

    Parameters
    ----------
    fit : Fit
        ``fit.settings.handedness`` says what is asked.
    adaptive : bool
        The images correct the probe.

    Attributes
    ----------
    answers : dict
        A ``Hand`` for every question asked; "undecidable" until it is answered.
    """

    def __init__(self, fit: Fit, adaptive: bool) -> None:
        self.fit = fit
        self.adaptive = adaptive
        why = "the run ended before the hands were compared"
        self.answers: dict[Question, Hand] = {q: _undecidable(q, why) for q in asked(fit.settings.handedness)}

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is to be said, a sentence for every question."""
        return tuple(hand.sentence for hand in self.answers.values())

    @property
    def other(self) -> tuple[str, ...]:
        """The sentences where the images speak for the other hand."""
        return tuple(hand.sentence for hand in self.answers.values() if hand.verdict == "the other hand")

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """For the report."""
        return {question: asdict(hand) for question, hand in self.answers.items()}

    def compare(self) -> Iterator[Progress]:
        """Answer what is asked; may be stopped between steps."""
        for question in self.answers:
            why = self._cannot_be_told(question)
            if why is not None:
                self.answers[question] = _undecidable(question, why)
            else:
                yield from self._against_twin(question)
            self.fit.log.append(self.answers[question].sentence)

    def _cannot_be_told(self, question: Question) -> str | None:
        lens = self.fit.problem.model.microscope
        if not len(self.fit.state.height):
            return "there are no atoms"
        if lens is None:
            return "direct projection has no depth and no aberrations, and both hands make the same images"
        if self.adaptive or self.fit.refine & {"defocus"} or self.fit.settings.tilt_defocus_A is not None:
            return (
                "the microscope was refined on these images, so that the sign and direction of its aberrations "
                "are not known independently: keep them fixed (a rigid probe, without defocus to refine, common or of "
                "each tilt)"
            )
        if phase_difference(lens, mirrored(lens, question)) < SAME_PHASE:
            return f"with this probe both hands make the same images; {_DECIDES[question]}"
        return None

    def _against_twin(self, question: Question) -> Iterator[Progress]:
        lens = self.fit.problem.model.microscope
        assert lens is not None
        variance = self.fit.evidence.residual_variance(self.fit.state)
        hands = [self._fit_with(lens, variance), self._fit_with(mirrored(lens, question), variance)]
        try:
            before, settled = None, False
            for _ in range(ROUNDS):
                ended = True
                for hand in hands:
                    steps = 0
                    for _progress in hand.fit("handedness", STEPS, (*GROUPS, *hand.geometry(), *hand.shape())):
                        steps += 1
                        yield self._nothing_new()
                    ended &= steps < STEPS
                gains = _gains(*hands)
                verdict, total, significance = judge(gains)
                settled = ended or (before is not None and abs(total - before) < max(0.1 * abs(total), 1.0))
                if settled:
                    break
                before = total
            why = (
                None
                if verdict == "undecidable"
                else _contradiction(hands[0 if total > 0 else 1], lens, question, variance)
            )
        finally:
            for hand in hands:
                hand.problem.model.close()
        if not settled and verdict != "undecidable":
            why = f"the comparison had not settled after {ROUNDS * STEPS} steps of each fit"
        if why is None:
            sentence = _sentence(question, verdict, total, significance)
        else:
            verdict, sentence = "undecidable", _undecidable(question, why).sentence
        self.answers[question] = Hand(verdict, total, significance, sentence)

    def _fit_with(self, lens: Microscope, variance: float) -> Fit:
        """A copy of the fit with a model of its own; noise and priors are those of the fit."""
        own = self.fit
        problem = copy.copy(own.problem)
        problem.model = own.problem.model.with_microscope(lens, own.state.typical_width)
        fit = Fit(
            problem,
            own.state.copy(),
            own.hull,
            own.spacing_A,
            own.settings,
            own.evidence.one_height,
            own.poll,
            clock=own.clock,
        )
        fit.evidence.variance, fit.evidence.inflation = variance, own.evidence.inflation
        fit.refine = set(own.refine)
        return fit

    def _nothing_new(self) -> Progress:
        """A sign of life: the images of this comparison are not those of the result."""
        shape = tuple(self.fit.problem.observed.shape[1:])
        none = np.zeros((0, *shape), np.float32)
        return Progress(
            "handedness", self.fit.step, max(self.fit.steps_total, self.fit.step + 1), np.zeros(0, int), none, np.nan
        )


def _gains(this: Fit, other: Fit) -> Floats:
    """Gain (n,) in log-likelihood of one fit over another at each fitted tilt, in units of the noise.

    The larger of both residual variances counts, and correlated residuals as in the error bars.
    """
    fits = (this, other)
    losses = [np.array([f.problem.evaluate(f.state, [j], ()).loss for j in f.problem.fitted]) for f in fits]
    noise = max(1.0, this.evidence.inflation) ** 2
    if this.problem.kind == "lsq":
        noise *= max(f.evidence.residual_variance(f.state) for f in fits)
    return np.asarray((losses[1] - losses[0]) / noise, np.float64)


def _contradiction(fit: Fit, own: Microscope, question: Question, variance: float) -> str | None:
    """Why the lens of the better hand cannot be relied on; None where the images agree with it.

    ``own`` is the lens of the settings.
    """
    lens = fit.problem.model.microscope
    assert lens is not None
    found = fit_aberrations(fit.problem, fit.state, ["probe"], lens, variance, fit.settings.learnt_scatter)
    if found is None:
        return None
    found.model.close()
    asked_for = found.model.microscope
    assert asked_for is not None
    doubt = phase_difference(lens, asked_for) / phase_difference(lens, mirrored(lens, question))
    if doubt <= MOST_DOUBT:
        return None
    if lens != own:  # the other hand's: in words of the settings
        lens, asked_for = mirrored(lens, question), mirrored(asked_for, question)
    return (
        f"the images ask for another lens (defocus {asked_for.defocus_A:.1f} instead of {lens.defocus_A:.1f} Å, "
        f"C12 {asked_for.c12_A:.0f} instead of {lens.c12_A:.0f} Å, C21 {asked_for.c21_A:.0f} instead of "
        f"{lens.c21_A:.0f} Å), and the one of the settings cannot tell the hands"
    )


def _undecidable(question: Question, why: str) -> Hand:
    return Hand("undecidable", None, None, f"{_NAMES[question]}: undecidable; {why}.")


def _sentence(question: Question, verdict: Verdict, total: float, significance: float) -> str:
    by = f"by {abs(total):.1f} in log-likelihood ({abs(significance):.1f} standard deviations over the tilts)"
    than = "less" if total > 0 else "more"
    if verdict == "undecidable":
        return (
            f"{_NAMES[question]}: undecidable; {_OTHERWISE[question]} the images are {than} likely {by}, and a verdict "
            f"needs {LEAST_GAIN:g} and {LEAST_SIGNIFICANCE:g}."
        )
    text = (
        f"{_NAMES[question]}: {verdict}; given the lens of the settings, {_OTHERWISE[question]} the images are {than}"
    )
    return f"{text} likely {by}" + (f": {_CHECK[question]}." if verdict == "the other hand" else ".")
