"""The redactor of `examples/plugins`, in Python: option `remove` names members of JSON objects that go, option `mask` those
that are masked. `README.md` of the folder above says what all languages do."""

import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import producer_hooks
from wit_world.imports import types

MASK = b'"***"'
_BLANKS = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\.)*"', re.DOTALL)
_WORD = re.compile(rb"(?:true|false|null|[0-9\-][0-9A-Za-z+\-.]*)(?![0-9A-Za-z+\-.])")


class Refused(Exception):
    """A value that cannot be redacted."""

    def __init__(self, code, reason):
        self.rejection = types.Rejection(code, reason)


class ProducerHooks(exports.ProducerHooks):
    names = {"remove": set(), "mask": set()}

    def configure(self, context):
        for option, value in context.options:
            if option not in self.names:
                raise Err(f"there is no option {option}: there are remove, mask")
            self.names[option] = {name.strip().encode() for name in value.split(",")} - {b""}
        if not any(self.names.values()):
            raise Err("there is nothing to redact: give names in option remove or mask")
        return []

    def on_send(self, batch, records):
        changes = []
        for index, record in enumerate(records):
            if record.value is None:
                continue
            try:
                redacted = redact(record.value, **self.names)
            except Refused as refused:
                action = producer_hooks.Action_Reject(refused.rejection)
            else:
                if redacted is None:
                    continue
                action = producer_hooks.Action_SetValue(redacted)
            changes.append(producer_hooks.Change(index, action))
        return producer_hooks.Answer(changes, [])

    def on_acknowledgement(self, batch, outcomes, runs):
        pass

    def close(self):
        pass


def redact(value, remove, mask):
    """The value without what must not be stored; none if there is nothing of it."""
    scan = Scan(value)
    redacted = None
    if scan.take(b"{"):
        redacted = members(scan, remove, mask)
    else:
        scan.anything()
    scan.blanks()
    if scan.at < len(value):
        raise not_json()
    return redacted


def members(scan, remove, mask):
    kept, changed = [], False
    more = not scan.take(b"}")
    while more:
        scan.blanks()
        start = scan.at
        name = scan.match(_STRING)[1:-1]
        if b"\\" in name:
            raise Refused(2, "a name with an escape")
        scan.need(b":")
        scan.blanks()
        value_start = scan.at
        scan.anything()
        changed |= name in remove or name in mask
        if name in remove:
            pass
        elif name in mask:
            kept.append(scan.value[start:value_start] + MASK)
        else:
            kept.append(scan.value[start : scan.at])
        more = scan.take(b",")
        if not more:
            scan.need(b"}")
    return b"{" + b",".join(kept) + b"}" if changed else None


def not_json():
    return Refused(1, "not JSON")


class Scan:
    """A walk over a value."""

    def __init__(self, value):
        self.value = value
        self.at = 0

    def peek(self):
        return self.value[self.at : self.at + 1]

    def blanks(self):
        self.at = _BLANKS.match(self.value, self.at).end()

    def take(self, byte):
        """Passes over blanks and this byte, if it is there."""
        self.blanks()
        is_there = self.peek() == byte
        self.at += is_there
        return is_there

    def need(self, byte):
        if not self.take(byte):
            raise not_json()

    def match(self, pattern):
        found = pattern.match(self.value, self.at)
        if found is None:
            raise not_json()
        self.at = found.end()
        return found.group()

    def anything(self):
        """Passes over a string, a word or number, or everything from an opening bracket to the one that closes it."""
        depth = 0
        while True:
            byte = self.peek()
            if byte == b'"':
                self.match(_STRING)
            elif byte in (b"{", b"["):
                depth += 1
                self.at += 1
            elif byte in (b"}", b"]") and depth > 0:
                depth -= 1
                self.at += 1
            elif depth > 0 and byte:
                self.at += 1
            else:
                self.match(_WORD)
            if depth == 0:
                return
