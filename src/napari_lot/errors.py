"""Exceptions that a person is told of in one sentence."""


class InputError(ValueError):
    """The user's input cannot be used: one sentence that says what is wrong, where, and what to do.

    The command line prints it as one line and exits with 2; the window shows it as a notification.
    """


class LostRank(Exception):
    """Another of the processes that share a run is gone, and there is nothing to go on with.

    The command line prints it as one line and exits with 1.
    """
