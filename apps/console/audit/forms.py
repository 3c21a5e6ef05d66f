"""Filters of the audit list."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class AuditFilter(forms.Form):
    """All optional. ``q`` is an object's reference, an engagement or a correlation id; days are whole and UTC."""

    q = forms.CharField(required=False, max_length=200)
    verb = forms.CharField(required=False, max_length=80)
    object_type = forms.CharField(required=False, max_length=80)
    since = forms.DateField(required=False)
    until = forms.DateField(required=False)
    before = forms.CharField(required=False, max_length=80)

    def clean_before(self) -> tuple[datetime, int] | None:
        """``2026-11-23T09:00:00+00:00~42``: the last row of the page before."""
        text = self.cleaned_data["before"]
        if not text:
            return None
        at, _tilde, row_id = text.rpartition("~")
        try:
            moment = datetime.fromisoformat(at.replace(" ", "+"))
            return moment, int(row_id)
        except ValueError:
            raise forms.ValidationError(_("That page does not exist.")) from None

    def criteria(self) -> dict[str, Any]:
        """Arguments of ``journal.audit_search``."""
        data = {name: value for name, value in self.cleaned_data.items() if value}
        found: dict[str, Any] = {
            name: data[name] for name in ("verb", "object_type", "before") if name in data
        }
        if "q" in data:
            found |= self._reference(data["q"].strip())
        if "since" in data:
            found["since"] = datetime.combine(data["since"], time.min, tzinfo=UTC)
        if "until" in data:
            found["until"] = datetime.combine(data["until"] + timedelta(days=1), time.min, tzinfo=UTC)
        return found

    @staticmethod
    def _reference(text: str) -> dict[str, str]:
        try:
            return {"correlation_id": str(uuid.UUID(text))}
        except ValueError:
            return {"engagement_key": text} if text.upper().startswith("ENG-") else {"object_ref": text}
