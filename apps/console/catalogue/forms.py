"""Input of the catalogue."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.organization.permissions import Role
from apps.triage.catalogue import Area, Detected, Severity
from apps.triage.help import LONGEST

#: Choices of the filter that are no single way of detection.
ANY, NONE = "any", "none"


class CatalogueFilter(forms.Form):
    """All optional. ``detected``: a way of detection, any at all, or none yet; ``who``: a role that acts first."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    area = forms.ChoiceField(required=False, choices=[("", _("Any area")), *Area.choices])
    severity = forms.ChoiceField(required=False, choices=[("", _("Any effect")), *Severity.choices])
    detected = forms.ChoiceField(
        required=False,
        choices=[
            ("", _("Detected or not")),
            (ANY, _("Detected")),
            *Detected.choices,
            (NONE, _("Not yet detected")),
        ],
    )
    who = forms.ChoiceField(required=False, choices=[("", _("Anybody")), *Role.choices])


class HelpForm(forms.Form):
    """``entity`` empty: for all legal entities; ``version``: of the text that was shown, 0 for none."""

    entity = forms.CharField(required=False, max_length=20)
    version = forms.IntegerField(min_value=0)
    text = forms.CharField(required=False, max_length=LONGEST, strip=False)
