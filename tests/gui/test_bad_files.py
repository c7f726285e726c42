"""Bad input in the window, typed and dropped: one exact sentence, nothing lost, no file touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from steps import child

from bad_input import given as g
from napari_lot.series.sample import load_sample

STACK = load_sample().images[::3]
ANGLES = g.text("theta_deg\n" + "\n".join(f"{a:g}" for a in np.linspace(-70, 70, len(STACK))) + "\n")
TYPED = ("missing", "truncated", "damaged session")
"""The others are dropped."""
KIND = {"format": "napari-lot session", "version": "9.0", "saved": ""}


def set_to(value: Any, *at: Any) -> g.Make:
    images = STACK.copy()
    images[at] = value
    return g.tif(images)


def beside(make: g.Make, angles: g.Make = ANGLES) -> dict[str, g.Make]:
    return {"a.tif": make, "angles.csv": angles}


# Of each case: the files in a folder of its own, of which the first is opened, and what is said. Nobody has said the
# pixel size; the window says where the folder is at the end.
FILES: dict[str, tuple[dict[str, g.Make], str]] = {
    "missing": ({"a.tif": lambda path: None}, "a.tif: no such file: check the name of the tilt series."),
    "empty folder": (
        {"a.tif": g.folder()},
        "a.tif: no images in this folder: give a tilt series, or a folder with one image per tilt.",
    ),
    "broken link": ({"a.tif": g.link("nowhere")}, "a.tif: no such file: check the name of the tilt series."),
    "link to itself": (
        {"a.tif": g.link("a.tif")},
        "a.tif: cannot read the tilt series: Too many levels of symbolic links: check its path and rights.",
    ),
    "pipe": ({"a.tif": os.mkfifo}, "a.tif: this is a device or a pipe: give the tilt series as a file."),
    "unknown ending": (
        {"a.docx": g.text("x")},
        "a.docx: unknown file type '.docx': give a tilt series as .ali, .blo, .dm3, .dm4, .emd, .emi, .h5, .hdf5, .mat, .mrc, .mrcs, .npy, .npz, .ser, .st, .tif, .tiff.",
    ),
    "other ending": (
        {"a.mrc": g.tif(STACK)},
        "a.mrc: the name ends in '.mrc', but the content is TIFF: rename it to end in .tif.",
    ),
    "empty": ({"a.tif": g.text("")}, "a.tif: the file is empty (0 bytes): copy the tilt series again."),
    "truncated": (
        beside(g.cut(g.tif(STACK), 0.5)),
        "a.tif: this TIFF file is truncated or damaged (the images reach beyond the end of the file): copy or export it again.",
    ),
    "huge": (
        {"a.mrc": g.mrc(header=g.MRC_HUGE)},
        "a.mrc: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "pickled": (
        {"a.npz": g.npz(images=g.OBJECTS)},
        "a.npz: the file holds pickled Python objects, which are never loaded: save plain numeric arrays.",
    ),
    "single image": (
        beside(g.tif(STACK[0])),
        "a.tif: this is a single image (114 x 114), not a tilt series: give a stack, one image per tilt.",
    ),
    "complex": (
        beside(g.tif(STACK.astype(np.complex64))),
        "a.tif: pixels of complex numbers cannot be used: save real numbers (integer or float).",
    ),
    "all-zero tilt": (
        beside(set_to(0, 4)),
        "a.tif: the image of tilt 4 is all zero: leave it out with Exclude tilts under 'More about the data', or put the measured image there.",
    ),
    "no angles": (
        {"a.tif": g.tif(STACK)},
        "a.tif: no tilt angles in the file or beside it: under Tilt angles choose 'start and step', or an angle file, such as a.tlt.",
    ),
    "too few angles": (
        beside(g.tif(STACK), g.text("1\n20\n40\n")),
        "angles.csv: 3 angles but 12 images: give exactly one angle per image, in the same order.",
    ),
    "radians": (
        beside(g.tif(STACK), g.text("\n".join(f"{a / 10:g}" for a in range(len(STACK))))),
        "angles.csv: the angles run only from 0 to 1.1 in steps up to 0.1, which looks like radians: convert them to degrees.",
    ),
    "angles not finite": (
        beside(g.tif(STACK), g.text("nan\n" * len(STACK))),
        "angles.csv: the angle of tilts 0, 1, 2, 3, 4, 5, 6, 7 and 4 more is not a finite number: correct the angles.",
    ),
    "no pixel size": (
        beside(g.tif(STACK)),
        "a.tif: the pixel size is not known, for nothing here says it: give it in Å (Pixel size).",
    ),
    "later session": (
        {"a.lot.h5": g.h5({}, schema=7, **KIND)},
        "a.lot.h5: this session was written by napari-lot 9.0, which knows more than this version (0.1.0): upgrade with 'pip install --upgrade napari-lot'.",
    ),
    "damaged session": (
        {"a.lot.h5": g.h5({}, schema=1, **KIND)},
        "a.lot.h5: this session is truncated or damaged (...): open another copy.",
    ),
}


def drop(workbench: Any, path: Path) -> None:
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    workbench.data.dropEvent(QDropEvent(QPointF(5, 5), *how))


def test_files(workbench: Any, viewer: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: "Measured" in viewer.layers)
    series = workbench.state.series
    for name, (files, sentence) in FILES.items():
        place = tmp_path / name
        place.mkdir()
        g.write(place, files)
        before, seen = g.state(place), len(notified())
        if name in TYPED:
            hand.type(child(workbench, "series_path"), str(place / next(iter(files))))
        else:
            drop(workbench, place / next(iter(files)))
        hand.until(lambda seen=seen: len(notified()) > seen and not workbench.state.reading)
        (text,) = notified()[seen:]
        g.assert_said(f"{sentence} Folder: {place}", text)
        assert child(workbench, "data_notes").isVisible()
        assert workbench.state.series is series, name
        assert "Measured" in viewer.layers
        assert g.state(place) == before, name
