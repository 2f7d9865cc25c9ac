"""JSON read as it comes: a value after the other, however long the text is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stillframe.errors import InputError

type JSONPath = tuple[str | int, ...]
"""Where a value stands: the names of members and the indices of items that lead to it."""

_decode = json.JSONDecoder().raw_decode
_SPACE: Final = " \t\r\n"
# A number that these follow may not have ended.
_OF_NUMBERS: Final = "0123456789.+-eE"
# Whoever has used so much of the text lets go of it.
_KEPT_CHARACTERS: Final = 1 << 16


def iter_values(chunks: Iterable[str], descends: Callable[[JSONPath], bool]) -> Iterator[tuple[JSONPath, Any]]:
    """The values of a JSON text (RFC 8259) with their paths, in their order.

    An object or array at a path to which `descends` says yes is not a value: its members or items are. An empty one
    comes to nothing.

    Raises:
        InputError: if the text is no JSON, or ends before its value does.
    """
    return _Text(iter(chunks)).values(descends)


class _Text:
    """A text of which the beginning is there."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self._text = ""
        self._offset = 0
        self._ended = False

    def values(self, descends: Callable[[JSONPath], bool]) -> Iterator[tuple[JSONPath, Any]]:
        yield from self._values((), descends)
        if self._peek():
            raise InputError("it goes on after the end of its JSON value")

    def _values(self, path: JSONPath, descends: Callable[[JSONPath], bool]) -> Iterator[tuple[JSONPath, Any]]:
        first = self._peek()
        if first not in ("{", "[") or not descends(path):
            yield path, self._value()
            return
        end = "}" if first == "{" else "]"
        self._offset += 1
        if self._peek() == end:
            self._offset += 1
            return
        index = 0
        while True:
            name: str | int = index
            if first == "{":
                name = self._value()
                if not isinstance(name, str):
                    raise InputError("a member of an object has no name")
                self._take(":")
            yield from self._values((*path, name), descends)
            index += 1
            if self._take(f",{end}") == end:
                return

    def _take(self, allowed: str) -> str:
        """Go on behind the next character, which has to be one of these."""
        found = self._peek()
        if not found or found not in allowed:
            what = f"{found} stands" if found else "it ends"
            raise InputError(f"it is no JSON: {what} where one of {' '.join(allowed)} has to")
        self._offset += 1
        return found

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._offset < len(self._text):
                found = self._text[self._offset]
                if found not in _SPACE:
                    return found
                self._offset += 1
            if not self._read(1):
                return ""

    def _value(self) -> Any:
        """The value that stands next, as a whole; more is read until it is there, twice as much each time."""
        if not self._peek():
            raise InputError("it ends where a value has to stand")
        while True:
            try:
                value, end = _decode(self._text, self._offset)
            except ValueError as error:
                if not self._read(len(self._text) - self._offset):
                    raise InputError(f"it is no JSON: {error}") from error
                continue
            except RecursionError as error:
                raise InputError("its values lie too deep within each other") from error
            unsure = not isinstance(value, str | list | dict) and not self._text[end:].lstrip(_OF_NUMBERS)
            if not unsure or not self._read(1):
                self._offset = end
                return value

    def _read(self, least: int) -> bool:
        """Read on by so many characters, or to the end; whether there were any."""
        if self._ended:
            return False
        pieces = [self._text]
        if self._offset > _KEPT_CHARACTERS or self._offset == len(self._text):
            pieces, self._offset = [self._text[self._offset :]], 0
        read = 0
        while read < max(1, least):
            piece = next(self._chunks, None)
            if piece is None:
                self._ended = True
                break
            pieces.append(piece)
            read += len(piece)
        self._text = "".join(pieces)
        return read > 0
