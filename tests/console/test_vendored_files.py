"""What the browser loads is what was vendored, with its licence, and nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from django.conf import settings

VENDOR = Path(settings.BASE_DIR) / "static" / "vendor"
NOTES = {"MANIFEST.sha256", "VENDORED.md"}


def _listed() -> dict[str, str]:
    lines = (VENDOR / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines()
    return {name.removeprefix("./"): digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def test_every_vendored_file_is_listed_with_its_checksum():
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in NOTES
    }
    assert found == _listed()


def test_every_vendored_folder_brings_its_licence_and_is_described():
    described = (VENDOR / "VENDORED.md").read_text(encoding="utf-8")
    folders = [path for path in VENDOR.iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "LICENSE").is_file(), folder.name
        assert f"`{folder.name}`" in described


def test_our_own_style_and_scripts_load_nothing_from_another_host():
    for path in (VENDOR.parent / "console").glob("*.[cj]s*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), path.name
        assert "eval(" not in text
        assert "innerHTML" not in text
