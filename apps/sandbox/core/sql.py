"""Reading the small common part of SOQL and SuiteQL: tokens and WHERE expressions.

Public surface: SqlError, Tokens, parse_condition, holds, Column, Call, Literal.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:\\.|''|[^'\\])*')"
    r"|(?P<date>\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))?(?![\w-]))"
    r"|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))"
    r"|(?P<word>[A-Za-z_][\w.$:]*)"
    r"|(?P<op><=|>=|!=|<>|=|<|>|\(|\)|,|\*|\|\|))"
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class SqlError(ValueError):
    """The query cannot be read; the message says where."""


@dataclass(frozen=True)
class Column:
    name: str


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple


@dataclass(frozen=True)
class Literal:
    """kind: string, number, date, bool, null or word (e.g. TODAY)."""

    value: Any
    kind: str


class Tokens:
    """A cursor over the query text."""

    def __init__(self, text: str):
        self._items: list[tuple[str, str]] = []
        position = 0
        text = text.strip().rstrip(";").rstrip()
        while position < len(text):
            found = TOKEN.match(text, position)
            if not found:
                raise SqlError(f"unexpected token: '{text[position : position + 20].strip()}'")
            self._items.append((found.lastgroup, found.group(found.lastgroup)))
            position = found.end()
        self._at = 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._items[at] if at < len(self._items) else ("end", "")

    def is_word(self, *words: str, ahead: int = 0) -> bool:
        kind, text = self.peek(ahead)
        return kind == "word" and text.upper() in words

    def is_op(self, op: str) -> bool:
        return self.peek() == ("op", op)

    def take(self) -> tuple[str, str]:
        item = self.peek()
        if item[0] == "end":
            raise SqlError("unexpected end of query")
        self._at += 1
        return item

    def take_if(self, *words: str) -> bool:
        if self.is_word(*words) or (self.peek()[0] == "op" and self.peek()[1] in words):
            self._at += 1
            return True
        return False

    def need(self, *words: str) -> str:
        kind, text = self.peek()
        if kind == "end" or text.upper() not in words:
            raise SqlError(f"expecting {' or '.join(words)}, found '{text or 'end of query'}'")
        self._at += 1
        return text

    def word(self) -> str:
        kind, text = self.take()
        if kind != "word":
            raise SqlError(f"expecting a name, found '{text}'")
        return text

    def integer(self) -> int:
        kind, text = self.take()
        if kind != "number" or "." in text:
            raise SqlError(f"expecting a whole number, found '{text}'")
        return int(text)

    @property
    def done(self) -> bool:
        return self.peek()[0] == "end"


def unquote(text: str) -> str:
    body = text[1:-1].replace("''", "'")
    return re.sub(r"\\(.)", lambda m: ESCAPES.get(m.group(1), m.group(1)), body)


def operand(tokens: Tokens):
    """A column, a literal or a function call."""
    kind, text = tokens.take()
    if kind == "string":
        return Literal(unquote(text), "string")
    if kind == "number":
        return Literal(float(text) if "." in text else int(text), "number")
    if kind == "date":
        return Literal(text, "date")
    if kind != "word":
        raise SqlError(f"unexpected token: '{text}'")
    if text.upper() in ("TRUE", "FALSE"):
        return Literal(text.upper() == "TRUE", "bool")
    if text.upper() == "NULL":
        return Literal(None, "null")
    if tokens.take_if("("):
        arguments = []
        while not tokens.take_if(")"):
            if tokens.take_if("*"):
                arguments.append(Literal("*", "word"))
            else:
                arguments.append(operand(tokens))
            if not tokens.is_op(")"):
                tokens.need(",")
        return Call(text.upper(), tuple(arguments))
    return Column(text)


def parse_condition(tokens: Tokens, subquery: Callable[[Tokens], list] | None = None):
    """An OR of ANDs of comparisons, with NOT and parentheses. Returns a tree for ``holds``."""
    left = _conjunction(tokens, subquery)
    while tokens.take_if("OR"):
        left = ("or", left, _conjunction(tokens, subquery))
    return left


def _conjunction(tokens, subquery):
    left = _unary(tokens, subquery)
    while tokens.take_if("AND"):
        left = ("and", left, _unary(tokens, subquery))
    return left


def _unary(tokens, subquery):
    if tokens.take_if("NOT"):
        return ("not", _unary(tokens, subquery))
    if tokens.take_if("("):
        inner = parse_condition(tokens, subquery)
        tokens.need(")")
        return inner
    return _comparison(tokens, subquery)


def _comparison(tokens, subquery):
    left = operand(tokens)
    if tokens.take_if("IS"):
        negate = tokens.take_if("NOT")
        tokens.need("NULL")
        test = ("cmp", left, "=", Literal(None, "null"))
        return ("not", test) if negate else test
    negate = tokens.take_if("NOT")
    if tokens.take_if("IN"):
        tokens.need("(")
        if tokens.is_word("SELECT") and subquery:
            values = [Literal(v, "string") for v in subquery(tokens)]
        else:
            values = []
            while not tokens.is_op(")"):
                values.append(operand(tokens))
                if not tokens.is_op(")"):
                    tokens.need(",")
        tokens.need(")")
        test = ("in", left, values)
        return ("not", test) if negate else test
    if tokens.take_if("LIKE"):
        test = ("cmp", left, "LIKE", operand(tokens))
        return ("not", test) if negate else test
    if tokens.take_if("BETWEEN"):
        low = operand(tokens)
        tokens.need("AND")
        test = ("and", ("cmp", left, ">=", low), ("cmp", left, "<=", operand(tokens)))
        return ("not", test) if negate else test
    op = tokens.need("=", "!=", "<>", "<", ">", "<=", ">=")
    return ("cmp", left, "!=" if op == "<>" else op, operand(tokens))


def holds(tree, evaluate: Callable[[Any], Any], compare: Callable[[Any, str, Any], bool]) -> bool:
    """Judge a condition for one row; ``evaluate`` gives an operand's value, ``compare`` knows the dialect."""
    if tree is None:
        return True
    kind = tree[0]
    if kind == "and":
        return holds(tree[1], evaluate, compare) and holds(tree[2], evaluate, compare)
    if kind == "or":
        return holds(tree[1], evaluate, compare) or holds(tree[2], evaluate, compare)
    if kind == "not":
        return not holds(tree[1], evaluate, compare)
    if kind == "in":
        left = evaluate(tree[1])
        return any(compare(left, "=", evaluate(value)) for value in tree[2])
    return compare(evaluate(tree[1]), tree[2], evaluate(tree[3]))


def operands(tree) -> list:
    """Every operand of a condition, for checking the names before running."""
    if tree is None:
        return []
    if tree[0] in ("and", "or"):
        return operands(tree[1]) + operands(tree[2])
    if tree[0] == "not":
        return operands(tree[1])
    if tree[0] == "in":
        return [tree[1], *tree[2]]
    return [tree[1], tree[3]]


def like(value: str, pattern: str) -> bool:
    """SQL LIKE with % and _, without regard to case."""
    expression = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, value, re.IGNORECASE | re.DOTALL) is not None
