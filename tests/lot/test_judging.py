"""Decisions as the window makes them: their log, which atom is in doubt next, and where the images differ."""

import numpy as np
import pytest
from test_local import make, middle_atom

from napari_lot.analysis.doubts_queue import rank
from napari_lot.gui.doubts.judging import Judging, Trial
from napari_lot.gui.doubts.words import told
from napari_lot.lot.local.refit import Stopped


@pytest.fixture
def judging():
    series, result = make(300.0)
    made = Judging(series, result)
    yield made
    made.close()


def deleted(judging, atom):
    return judging.decide(atom, lambda fit: (fit.delete(atom), "for a test"))


def test_images_differ_within_the_windows_and_nowhere_else(judging):
    before = judging.fit.result
    made = deleted(judging, middle_atom(before))
    inside = np.zeros(before.calculated.shape, bool)
    for tilt, window in enumerate(made.windows.slices(inside.shape[1:])):
        inside[tilt][window] = True
    assert not np.array_equal(made.result.calculated, before.calculated)
    assert np.array_equal(made.result.calculated[~inside], before.calculated[~inside]), "to the last digit"
    assert np.array_equal(made.result.residual, judging.fit.series.images - made.result.calculated)


def test_what_is_kept_changes_no_image(judging):
    atom = middle_atom(judging.fit.result)
    trial = Trial(atom, lambda: True)
    gain = trial.run(judging.fit).gain
    made = judging.decide(atom, lambda fit: (fit.keep(atom), "for a test"), trial)
    assert made.windows is None
    assert np.array_equal(made.result.calculated, judging.fit.result.calculated)
    (told,) = made.log
    assert told["gain_of_deleting"] == pytest.approx(gain, abs=1e-3)


def test_a_move_of_nothing_is_no_decision(judging):
    fit = judging.fit
    atom = middle_atom(fit.result)
    judging.decide(atom, lambda fit: (fit.refit(fit.position(atom)), "for a test"))
    made = judging.decide(atom, lambda fit: (fit.move(atom, fit.position(atom)), "for a test"))
    assert told(made.change) == f"Atom {atom} is where it was: nothing has changed."
    assert made.windows is None
    assert len(made.log) == len(fit.done) == 1


def test_doubt_follows_what_was_decided_and_comes_back(judging):
    fit, first = judging.fit, judging.ranking
    atom = middle_atom(fit.result)
    before = fit.misfit()
    made = deleted(judging, atom)
    after = fit.misfit()
    assert after.max() > 1.2 * before.max(), "there is a hole now"
    expected = rank(made.result, fit.spacing_A, after)
    assert made.ranking.atoms.tolist() == expected.atoms.tolist()
    assert made.ranking.scores == pytest.approx(expected.scores, rel=1e-3)
    back = judging.undo()
    assert back.log == []
    assert back.ranking.atoms.tolist() == first.atoms.tolist()
    assert back.ranking.scores == pytest.approx(first.scores, rel=1e-3)


class Counted:
    """A fit that counts what is asked of it."""

    def __init__(self):
        self.asked = 0

    def delete(self, atom, stopped=lambda: False):
        self.asked += 1
        if stopped():
            raise Stopped
        return f"without {atom}"


def test_a_trial_is_made_once():
    fit, trial = Counted(), Trial(7, lambda: True)
    assert trial.run(fit) == trial.run(fit) == "without 7"
    assert fit.asked == 1


def test_a_trial_that_is_not_wanted_is_not_begun_and_one_that_is_left_ends():
    fit, answers = Counted(), [True, False, True]
    assert Trial(7, lambda: False).run(fit) is None
    assert fit.asked == 0
    trial = Trial(7, lambda: answers.pop(0))
    assert trial.run(fit) is None, "nobody waits any more"
    answers[:] = [True, True]
    assert trial.run(fit) == "without 7", "wanted again"
