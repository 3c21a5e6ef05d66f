"""The lock says what is installed and by which hash, not from where: that is each environment's own choice."""

from __future__ import annotations

import re

import pytest

from tests.house.scan import ROOT

FILES = ("requirements.lock", "requirements.in", "requirements-dev.in")
#: Options that name an index, and requirements that name an address of their own.
ADDRESS = re.compile(
    r"^\s*(?:-i\b|-f\b|--index-url|--extra-index-url|--find-links|--trusted-host)|\w+://|\s@\s|\bgit\+", re.M
)


def addresses(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if ADDRESS.search(line)]


@pytest.mark.parametrize("name", FILES)
def test_no_address_stands_in_what_is_installed(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.search(r"^django\b|^pytest\b", text, re.M | re.I), "the file lists packages"
    assert addresses(text) == []


def test_every_package_of_the_lock_is_pinned_with_a_hash():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert len(packages) > 20
    assert [line for line in packages if not re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "-i https://packages.example/simple",
        "--extra-index-url=https://packages.example/simple",
        "--find-links /srv/wheels",
        "--trusted-host packages.example",
        "django @ https://packages.example/django.whl",
        "git+ssh://git@code.example/django.git",
    ],
)
def test_an_address_is_found(line):
    assert addresses(f"celery==5.6.0\n{line}\n") == [line]
