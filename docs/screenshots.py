"""Take the screenshots of the documentation: every step of the window, with the real solver.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python docs/screenshots.py

Writes docs/screenshots/*.png (in 256 colours where that is needed to stay under 300 kB). ``--part`` takes only some of
the parts (the sample, a session that is offered, an alloy, a volume), ``--only`` saves only some of the pictures,
``--size 1280x720`` checks a small screen, ``--out`` writes elsewhere.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tour import alloy, sample, session, volume
from tour.guide import Guide

from napari_lot.session import leftovers

HERE = Path(__file__).parent / "screenshots"
PARTS = ("sample", "session", "alloy", "volume")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--size", default="1280x800", help="width x height of the window in pixels")
    parser.add_argument(
        "--part", choices=PARTS, action="append", help="may be given more than once; session needs sample"
    )
    parser.add_argument("--only", action="append", default=[], help="name of a picture; may be given more than once")
    arguments = parser.parse_args()
    width, height = (int(n) for n in arguments.size.split("x"))
    parts = arguments.part or PARTS

    def guide() -> Guide:
        return Guide(arguments.out, width, height, arguments.only)

    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        autosaves = scratch / "autosaves"
        # neither what this person has left behind is shown, nor is anything of ours left behind
        leftovers.autosave_folder = lambda: autosaves
        if "sample" in parts:
            shown = guide()
            sample.walk(shown, scratch)
            shown.close()
        if "session" in parts:
            session.leave_behind(autosaves)
            shown = guide()
            session.walk(shown)
            shown.close()
        if "volume" in parts:
            leftovers.autosave_folder = lambda: scratch / "of the volume"
            shown = guide()
            volume.walk(shown)
            shown.close()
        if "alloy" in parts:
            leftovers.autosave_folder = lambda: scratch / "of the alloy"
            shown = guide()
            alloy.walk(shown)
            shown.close()


if __name__ == "__main__":
    main()
