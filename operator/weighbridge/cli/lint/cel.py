"""The part of CEL that the rules of our own schemas use, so that they can be asked without an API server.

It knows these rules and no more: what it does not know is `Unsupported`, never a guess. A test holds it against a real API server.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .cel_functions import COMPARED, FUNCTIONS, MACROS, METHODS, NoValue, macro, member

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\|\||&&|==|!=|<=|>=|[-+!<>?:.,(){}\[\]]))"
)
Names = Mapping[str, Any]
Expression = Callable[[Names], Any]


class Unsupported(Exception):
    """The rule says something that is not known here."""


def holds(rule: str, value: Any) -> bool:
    """Whether the rule holds for the value. Raises Unsupported, NoValue."""
    try:
        return bool(_compiled(rule)({"self": value}))
    except (TypeError, ValueError) as error:
        raise NoValue(rule) from error


@cache
def _compiled(rule: str) -> Expression:
    reader = _Reader(rule)
    made = reader.ternary()
    if reader.sign:
        raise Unsupported(rule)
    return made


class _Reader:
    """Recursive descent, one method for each level of binding."""

    def __init__(self, rule: str) -> None:
        self._rule, self._tokens, place = rule, list[tuple[str, str]](), 0
        text = rule.rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise Unsupported(rule)
            self._tokens.append((str(token.lastgroup), token[str(token.lastgroup)]))
            place = token.end()
        self._at = 0

    @property
    def sign(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if not self.sign:
            raise Unsupported(self._rule)
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, sign: str) -> bool:
        if self.sign != sign:
            return False
        self._at += 1
        return True

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise Unsupported(self._rule)

    def ternary(self) -> Expression:
        asked = self._either()
        if not self._take("?"):
            return asked
        yes = self.ternary()
        self._need(":")
        no = self.ternary()
        return lambda names: yes(names) if asked(names) else no(names)

    def _either(self) -> Expression:
        left = self._both()
        while self._take("||"):
            left = _joined(left, self._both(), decides=True)
        return left

    def _both(self) -> Expression:
        left = self._compared()
        while self._take("&&"):
            left = _joined(left, self._compared(), decides=False)
        return left

    def _compared(self) -> Expression:
        left = self._sum()
        while self.sign in COMPARED:
            left = _applied(COMPARED[self._next()[1]], left, self._sum())
        return left

    def _sum(self) -> Expression:
        left = self._unary()
        while self._take("+"):
            left = _applied(lambda a, b: a + b, left, self._unary())
        return left

    def _unary(self) -> Expression:
        if self._take("!"):
            inner = self._unary()
            return lambda names: not inner(names)
        return self._member()

    def _member(self) -> Expression:
        value = self._primary()
        while True:
            if self._take("["):
                index = self.ternary()
                self._need("]")
                value = _applied(member, value, index)
            elif self._take("."):
                name = self._next()[1]
                value = self._called(value, name) if self._take("(") else _applied(member, value, _constant(name))
            else:
                return value

    def _called(self, value: Expression, name: str) -> Expression:
        if name in MACROS:
            variable = self._next()[1]
            self._need(",")
            body = self.ternary()
            self._need(")")
            return lambda names: macro(name, [bool(body({**names, variable: each})) for each in value(names)])
        arguments = self._arguments(")")
        method = METHODS.get(name)
        if method is None:
            raise Unsupported(self._rule)
        return lambda names: method(value(names), *(each(names) for each in arguments))

    def _primary(self) -> Expression:
        kind, text = self._next()
        if kind == "number":
            return _constant(float(text) if "." in text else int(text))
        if kind == "text":
            return _constant(re.sub(r"\\(.)", r"\1", text[1:-1]))
        if text == "(":
            inner = self.ternary()
            self._need(")")
            return inner
        if text == "[":
            items = self._arguments("]")
            return lambda names: [each(names) for each in items]
        if text == "{":
            pairs = self._pairs()
            return lambda names: {key(names): each(names) for key, each in pairs}
        if kind != "name":
            raise Unsupported(self._rule)
        if text in ("true", "false"):
            return _constant(text == "true")
        if not self._take("("):
            return lambda names: member(names, text)
        if text == "has":
            return self._has()
        function, arguments = FUNCTIONS.get(text), self._arguments(")")
        if function is None:
            raise Unsupported(self._rule)
        return lambda names: function(*(each(names) for each in arguments))

    def _has(self) -> Expression:
        inner = self._member()
        self._need(")")

        def there(names: Names) -> bool:
            try:
                inner(names)
            except NoValue:
                return False
            return True

        return there

    def _arguments(self, end: str) -> list[Expression]:
        found: list[Expression] = []
        while not self._take(end):
            found.append(self.ternary())
            if self.sign != end:
                self._need(",")
        return found

    def _pairs(self) -> list[tuple[Expression, Expression]]:
        found = []
        while not self._take("}"):
            key = self._either()
            self._need(":")
            found.append((key, self.ternary()))
            if self.sign != "}":
                self._need(",")
        return found


def _constant(value: Any) -> Expression:
    return lambda _: value


def _applied(function: Callable[[Any, Any], Any], left: Expression, right: Expression) -> Expression:
    return lambda names: function(left(names), right(names))


def _joined(left: Expression, right: Expression, *, decides: bool) -> Expression:
    """`||` and `&&`: one side that decides is enough, whatever is missing on the other."""

    def both(names: Names) -> bool:
        try:
            if bool(left(names)) is decides:
                return decides
        except NoValue:
            if bool(right(names)) is decides:
                return decides
            raise
        return bool(right(names))

    return both
