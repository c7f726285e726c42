"""What the Reconstruct step says of stages, of ends without a result, and of what is refined."""

from napari_lot.gui.forms.section import CAVEAT, READY

STAGES = {
    "peaks": "A volume to start from",
    "prepare": "Preparing",
    "start": "Placing orbitals",
    "heights": "Heights",
    "positions": "Heights and positions",
    "merge": "Merging",
    "birth": "Adding missing atoms",
    "species": "Telling elements apart",
    "probe": "Correcting the probe",
    "refine": "Refining",
    "polish": "Last refinement",
    "handedness": "Comparing with the other hand",
    "finished": "Finished",
}
# Ends that leave no result: the word, what to do, and the mark of the step.
NO_RESULT = {
    "cancelled": ("Cancelled", "the layers show the last state.", READY),
    "finished early": (
        "Finished before there was an atom",
        "there was nothing to keep yet; let it run until atoms appear, then finish.",
        CAVEAT,
    ),
    "time limit": (
        "Time limit reached before there was an atom",
        "there was nothing to keep yet; allow more minutes under More settings.",
        CAVEAT,
    ),
}
NOTHING_DRAWN = "nothing had been drawn yet."
"""In place of what the layers show, where a cancelled run has left none."""
REFINE_TIPS = {
    "positions": "Coordinates of every atom.",
    "heights": "Peak height of every atom.",
    "width": "One common width B per species.",
    "center": "One global offset (du, dv) of the rotation centre.",
    "shifts": "A shift (du, dv) of each tilt.",
    "angles": "Three small turns of each tilt.",
    "scale": "A brightness factor of each tilt.",
    "background": "A constant background of each tilt.",
    "defocus": "The focal plane of the probe.",
    "probe": "The shape of an adaptive probe.",
}
# Of what cannot be refined with some models: these, and why.
REFINE_NOT = {
    "defocus": (
        ("direct",),
        "Direct projection has no probe, and no focal plane: take the rigid or adaptive model.",
    ),
    "probe": (
        ("direct", "rigid"),
        "Only the adaptive model has a probe that the images correct: choose it under Model.",
    ),
}

CHANGED_SINCE = "Settings or series are not those of that run: its atoms are the start of this one."
