"""The exceptions this package raises."""

from __future__ import annotations


class StillframeError(Exception):
    """Base of every exception raised on purpose by this package."""


class InputError(StillframeError):
    """One input cannot be published; the message is the reason a person reads."""


class InvalidUID(InputError):
    """A UID that is missing, malformed or too long for a key (PS3.5 9.1)."""


class PixelDataError(InputError):
    """Pixel data that cannot be turned into the frames its data set promises."""


class CodestreamError(StillframeError):
    """Bytes that are not the JPEG 2000 codestream they are taken for."""


class CodecError(StillframeError):
    """An HTJ2K library failed, or a frame did not come back as it went in."""


class LayoutError(StillframeError):
    """A key or path that is not part of the published layout."""


class StoreError(StillframeError):
    """A store could not carry out a request."""


class NotFound(StoreError):
    """There is no such object, or nothing where objects could be."""


class PreconditionFailed(StoreError):
    """A conditional request found another version than the one it named."""


class Refused(StoreError):
    """A store answered that it will not carry out a request; `code` is its reason in a word, `AccessDenied` say."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class KeyRefused(Refused):
    """A store will not hold one object, for its key or for what it is; nothing says that it refuses others."""


class ClaimLost(StoreError):
    """Another job took over the writing of an instance."""


class InvalidationError(StillframeError):
    """A CDN could not be told which of its copies are old."""


class WorkerDied(StillframeError):
    """The process that held a task ended before the task did."""


class UsageError(StillframeError):
    """A command that cannot be carried out as it was given."""


def reason_of(error: Exception) -> str:
    """Why an input is not published that failed with this error."""
    match error:
        case InputError() | CodestreamError():
            return str(error)
        case OSError():
            return f"cannot be read: {error.strerror or error}"
        case MemoryError() | RecursionError():
            return f"asks for too much: {type(error).__name__}"
        case _:
            return f"cannot be published: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
