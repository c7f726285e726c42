"""What can be done with a doubtful atom: names, keys, and one sentence each."""

BUTTONS = (
    ("next", "Next", "N", "Show the next doubtful atom."),
    ("keep", "Keep", "K", "This is an atom: keep it, and go on to the next."),
    ("delete", "Delete", "D", "This is no atom: delete it, refit its neighbours, and go on to the next."),
    ("move", "Move", "M", "Click where it belongs on a patch, or step with the arrow keys and press Enter."),
    ("add", "Add", "A", "Click the missing atom on two tilts, or press Enter for one nearby that the images ask for."),
    ("undo", "Undo", "U", "Take the last decision back."),
)
KEYS = {name: key for name, _, key, _ in BUTTONS}
TIPS = {name: tip for name, _, _, tip in BUTTONS}
COST_TIP = (
    "Change of the log-likelihood of all images after a refit of the neighbours, in units of the noise: a false atom "
    "costs less than an atom must be worth."
)
