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


class LostRank(Exception):
    """Another of the processes that share a run is gone, and there is nothing to go on with.

    The command line prints it as one line and exits with 1.
    """
