"""Exceptions that a person is told of in one sentence."""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InputError(ValueError):
    """The user's input cannot be used: one sentence that says what is wrong, where, and what to do.

    The command line prints it as one line and exits with 2; the window shows it as a notification. What of a file or of
    its name would break the line becomes a space; what would speak to the terminal is shown as an escape.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(_CONTROL.sub(_shown, sentence))


def _shown(found: re.Match[str]) -> str:
    return " " if found[0].isspace() else found[0].encode("unicode_escape").decode()


class RunFailed(Exception):
    """A run cannot go on, and its input is not to blame: one sentence that says what happened and what to do.

    The command line prints it as one line and exits with 1; the window shows it as a notification.
    """


class LostRank(RunFailed):
    """Another of the processes that share a run is gone, and there is nothing to go on with.

    ``speaks``: whether this process is the one that says so; None where that has not been settled.
    """

    speaks: bool | None = None


_OUT_OF_MEMORY = (
    "out of memory",
    "CUFFT_ALLOC_FAILED",
    "can't allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "failed to map segment",  # of a library that is loaded
)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's and PyTorch's own, and those that have no kind for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return False
    if any(text in str(error) for text in _OUT_OF_MEMORY):
        return True
    before = error.__cause__ or error.__context__  # a loader tells its own story of it
    return isinstance(error, OSError) and before is not None and out_of_memory(before)


def of_a_card(error: BaseException) -> bool:
    """Whether the memory that ran out is that of a graphics card."""
    return type(error).__name__ == "OutOfMemoryError" or any(name in str(error) for name in ("CUDA", "CUFFT", "MPS"))
