"""The one exception that the user's input may cause."""


class InputError(ValueError):
    """The user's input cannot be used: one sentence that says what is wrong, where, and what to do.

    The command line prints it as one line and exits with 2; the window shows it as a notification.
    """
