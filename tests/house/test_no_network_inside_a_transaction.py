"""No vendor call, no mail and no bell while a database transaction is open.

A reading of the source, so it sees what is written in one module: calls below ``atomic`` and the module's own
functions that they reach. What is deferred (a lambda or function given to ``on_commit``) is not a call.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.scan import dotted, python_sources

MODULES = ("requests.", "httpx.", "urllib.request.", "http.client.", "smtplib.", "socket.create_connection")
FUNCTIONS = {"urlopen", "send_mail", "mail_admins", "send_task", "apply_async", "delay"}
SPI = {"fetch", "find", "push", "probe", "describe", "check", "call"}
HTTP_VERBS = {"get", "post", "put", "patch", "delete", "request", "send"}


def is_network(call: ast.Call) -> bool:
    name = dotted(call.func)
    receiver, _, verb = name.rpartition(".")
    owner = receiver.rpartition(".")[2].lower()
    if name.startswith(MODULES) or verb in FUNCTIONS:
        return True
    if verb in SPI and ("adapter" in owner or owner == "connectors"):
        return True
    # Django's request.session is a dict, not a connection.
    return verb in HTTP_VERBS and owner.lstrip("_") in {"session", "http"} and receiver != "request.session"


def network_findings(path: str, source: str) -> list[str]:
    tree = ast.parse(source)
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    reaching = {
        name for name, node in functions.items() if any(is_network(call) for call in _calls(node.body))
    }
    while True:
        more = {name for name, node in functions.items() if _reaches(node.body, reaching)} - reaching
        if not more:
            break
        reaching |= more
    return [
        f"{path}:{call.lineno}: {dotted(call.func)} inside a transaction"
        for body in _atomic_bodies(tree)
        for call in _calls(body)
        if is_network(call) or _local(call) in reaching
    ]


def _reaches(body: list[ast.stmt], reaching: set[str]) -> bool:
    return any(_local(call) in reaching for call in _calls(body))


def _local(call: ast.Call) -> str:
    """The name of a function of the same module or of a method of the same object, else empty."""
    name = dotted(call.func).removeprefix("self.")
    return "" if "." in name else name


def _calls(body: list[ast.stmt]) -> Iterator[ast.Call]:
    """The calls that happen when the statements run: not those inside nested functions and lambdas."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def _is_atomic(node: ast.expr) -> bool:
    return dotted(node).rpartition(".")[2] == "atomic"


def _atomic_bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        if (isinstance(node, ast.With) and any(_is_atomic(item.context_expr) for item in node.items)) or (
            isinstance(node, ast.FunctionDef) and any(_is_atomic(mark) for mark in node.decorator_list)
        ):
            yield node.body


def test_no_call_leaves_the_house_inside_a_transaction():
    findings = [
        finding
        for path, source in python_sources("apps", "pssync_console")
        if not path.startswith("apps/sandbox/")
        for finding in network_findings(path, source)
    ]
    assert findings == []


@pytest.mark.parametrize(
    "body",
    [
        "requests.post(url)",
        "self._session.request('GET', url)",
        "adapter.push(action=action)",
        "connectors.probe(system=system)",
        "ring.delay(1)",
        "send_mail('a', 'b', 'c', ['d'])",
        "helper()",
    ],
)
@pytest.mark.parametrize("opening", ["with transaction.atomic():", "with lock(), atomic(using='default'):"])
def test_a_call_inside_a_transaction_is_found(opening, body):
    helpers = "def helper():\n    deep()\ndef deep():\n    requests.get(url)\n"
    source = f"{helpers}def verb(self):\n    {opening}\n        {body}\n"
    assert len(network_findings("apps/x/services.py", source)) == 1


def test_a_call_in_an_atomic_function_is_found():
    source = "@transaction.atomic\ndef verb():\n    requests.post(url)\n"
    assert len(network_findings("apps/x/services.py", source)) == 1


def test_a_call_after_the_transaction_is_lawful():
    source = (
        "def verb(request):\n    with transaction.atomic():\n        row.save()\n        request.session.get('x')\n"
        "        transaction.on_commit(lambda: ring.delay(1))\n    requests.post(url)\n"
    )
    assert network_findings("apps/x/services.py", source) == []
