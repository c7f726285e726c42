"""A run as one HDF5 file, and the copy that a running fit leaves now and then."""

from napari_lot.session.autosave import Autosave
from napari_lot.session.file import SUFFIX, RunState, Session, is_session, read_session, write_session
from napari_lot.session.going_on import GoingOn, going_on

__all__ = [
    "SUFFIX",
    "Autosave",
    "GoingOn",
    "RunState",
    "Session",
    "going_on",
    "is_session",
    "read_session",
    "write_session",
]
