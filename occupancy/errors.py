"""The one kind of error that a person caused and a person can mend."""


class InputError(Exception):
    """Something the user gave is wrong; the text says what, where, and what to do about it.

    Entry points print it as one line and exit with status 2; they never show a traceback for it.
    """
