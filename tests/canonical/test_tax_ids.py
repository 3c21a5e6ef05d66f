"""A tax id is of the country it is said to be of, and a well-formed one."""

import pytest

from apps.canonical.taxids import fault


@pytest.mark.parametrize(
    ("country", "tax_id"),
    [
        ("GB", "GB 980 7806 84"),
        ("US", "91-1144442"),
        ("DE", "DE 136 695 976"),
        ("BE", "be0403.019.261"),
        ("GR", "EL094259216"),
        ("DE", ""),
        ("JP", "anything: its form is not known here"),
    ],
)
def test_a_good_tax_id_has_no_fault(country, tax_id):
    assert fault(country, tax_id) == ""


@pytest.mark.parametrize(
    ("country", "tax_id", "said"),
    [
        ("DE", "FR40303265045", "a VAT id of DE begins with DE, not with FR"),
        ("GR", "GR094259216", "a VAT id of GR begins with EL, not with GR"),
        ("DE", "EL094259216", "a VAT id of DE begins with DE, not with EL"),
        ("GB", "GB123456789", "check digit"),
        ("DE", "136695976", "invalid or unknown"),
    ],
)
def test_a_wrong_one_is_told_by_what_is_wrong(country, tax_id, said):
    assert said in fault(country, tax_id)
