"""``manage.py configure firm.toml``: entities, systems with connections, routing, mappings, people and gates from a file.

Idempotent: what the file says is set, what it does not mention stays. Secrets are never in the file: each is named as
``{env = "NAME"}`` or ``{file = "/path"}``. See ``docs/production.md`` for an example.
"""

from __future__ import annotations

import os
import tomllib
from argparse import ArgumentParser
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.connectors import services as connectors
from apps.core.errors import AppError, InvalidInput
from apps.governance import services as governance
from apps.organization import selectors as organization
from apps.organization import services as organization_services
from apps.sync import services as sync

SECTIONS = ("entities", "systems", "routing", "mappings", "people", "gates")
WHY = "Configured from a file by an operator."
ENTITY_NUMBERS = ("hours_per_day", "mapping_threshold")


class Command(BaseCommand):
    help = "Apply a configuration file (TOML): entities, systems, routing, mappings, people, gates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="check the file, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                counts = configure(_read(options["file"]))
                if options["dry_run"]:
                    transaction.set_rollback(True)
        except AppError as error:
            details = "".join(f"\n  {name}: {text}" for name, text in getattr(error, "fields", {}).items())
            raise CommandError(f"{error.message}{details}") from error
        done = ", ".join(f"{number} {section}" for section, number in counts.items())
        self.stdout.write(f"{'Would set' if options['dry_run'] else 'Set'}: {done}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    unknown = sorted(set(data) - set(SECTIONS))
    if unknown:
        raise InvalidInput(f"Unknown section: {', '.join(unknown)}. Known: {', '.join(SECTIONS)}.")
    return data


def configure(data: dict[str, Any]) -> dict[str, int]:
    """Apply the file's sections in order; how many rows of each were set. Raises :class:`AppError` for the first fault."""
    setters = {
        "entities": _entity,
        "systems": _system,
        "routing": _routing,
        "mappings": _mapping,
        "people": _person,
        "gates": _gate,
    }
    counts = {}
    for section in SECTIONS:
        for number, row in enumerate(data.get(section, []), start=1):
            try:
                setters[section](dict(row))
            except (KeyError, TypeError) as error:
                raise InvalidInput(f"{section}, entry {number}: {error} is missing or unknown.") from error
        counts[section] = len(data.get(section, []))
    return counts


def _entity(row: dict[str, Any]) -> None:
    for name in ENTITY_NUMBERS:
        if name in row:
            row[name] = Decimal(str(row[name]))
    organization_services.entity_set(code=row.pop("code"), **row)


def _system(row: dict[str, Any]) -> None:
    connection = row.pop("connection", None)
    system = organization_services.system_set(code=row.pop("code"), **row)
    if connection is not None:
        connectors.connection_set(
            system=system,
            base_url=connection["base_url"],
            config=connection.get("config", {}),
            secrets={name: _secret(name, source) for name, source in connection.get("secrets", {}).items()},
        )


def _secret(name: str, source: dict[str, str]) -> str:
    if set(source) == {"env"} and source["env"] in os.environ:
        return os.environ[source["env"]]
    if set(source) == {"file"}:
        try:
            return Path(source["file"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidInput(f"The file of secret {name} cannot be read: {error}") from error
    raise InvalidInput(
        f'Secret {name} needs {{env = "NAME"}} of a variable that is set, or {{file = "/path"}}.'
    )


def _entity_named(code: str) -> Any:
    entity = organization.entity(code)
    if entity is None:
        raise InvalidInput(f"There is no legal entity “{code}”.")
    return entity


def _routing(row: dict[str, Any]) -> None:
    organization_services.routing_set(
        legal_entity=_entity_named(row["entity"]),
        kind=row["kind"],
        system=organization.system(row["system"]),
        settings=row.get("settings"),
    )


def _mapping(row: dict[str, Any]) -> None:
    governance.mapping_adopt(
        kind=row["kind"],
        legal_entity=_entity_named(row["entity"]) if row.get("entity") else None,
        source=row["source"],
        target=row["target"],
        target_label=row.get("label", ""),
        why=WHY,
    )


def _person(row: dict[str, Any]) -> None:
    grants = row.pop("grants", [])
    user = organization.user_by_email(row["email"]) or organization_services.user_create(**row)
    for grant in grants:
        organization_services.role_grant(
            user=user,
            role=grant["role"],
            legal_entity=_entity_named(grant["entity"]) if grant.get("entity") else None,
            why=WHY,
        )


def _gate(row: dict[str, Any]) -> None:
    flows = row["flows"] if "flows" in row else [row["flow"]]
    for flow in flows:
        sync.gate_set(
            legal_entity=_entity_named(row["entity"]), flow=flow, mode=row["mode"], by=None, why=WHY
        )
