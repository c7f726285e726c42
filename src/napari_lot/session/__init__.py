"""A run as one HDF5 file, and the copy that a running fit leaves now and then."""

from napari_lot.session.autosave import Autosave
from napari_lot.session.file import SUFFIX, RunState, Session, is_session, read_session, write_session

__all__ = ["SUFFIX", "Autosave", "RunState", "Session", "is_session", "read_session", "write_session"]
