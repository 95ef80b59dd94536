"""Errors for people: what was given, what was expected, what to do."""

__all__ = ["DeviceError", "InputError", "LinkReset", "SternaError"]


class SternaError(Exception):
    """Base of all errors that are reported in one sentence, without a traceback."""

    exit_status = 1


class InputError(SternaError):
    """Something the user gave cannot be used; exit status 2."""

    exit_status = 2


class DeviceError(SternaError):
    """A device failed or does not fit; exit status 3."""

    exit_status = 3


class LinkReset(DeviceError):
    """A device has been reset while it was in use; whoever holds its state can restore it."""
