"""What went wrong in a piece of work, in one sentence for a person."""

from __future__ import annotations

import logging
import traceback

from napari_lot.errors import InputError, RunFailed, out_of_memory

_LOG = logging.getLogger(__name__)
REMEDY = "crop or bin the images, or close other programs; then try again"


def sentence_of(error: BaseException, what: str, remedy: str = REMEDY) -> tuple[str, str | None]:
    """One sentence for a person, and the traceback where the program is at fault.

    Parameters
    ----------
    what : str
        What has stopped, as the beginning of a sentence. Input that cannot be used says itself what and where.
    remedy : str
        What to do where memory ran out.
    """
    if isinstance(error, InputError | RunFailed):
        return str(error), None
    name = type(error).__name__
    if out_of_memory(error):
        return f"{what} ran out of memory: {remedy}.", None
    if isinstance(error, OSError):
        why = error.strerror or str(error) or name
        return f"{what} failed: {error.filename or 'the file'} cannot be read or written: {why}.", None
    text = str(error).strip().split("\n")[0] or name
    detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return (
        f"{what} stopped because of a fault in the program ({name}: {text}); nothing shown is lost.",
        detail,
    )


def explained(error: BaseException, what: str) -> str:
    """``sentence_of`` an error; where the program is at fault the log gets the traceback."""
    sentence, detail = sentence_of(error, what)
    if detail is not None:
        _LOG.error("%s\n%s", sentence, detail)
    return sentence
