"""The visitor reads a page as a person without JavaScript sees it."""

from __future__ import annotations

import pytest

from apps.demo.visitor import Page

HTML = """
<html><head><style>.x{}</style><script>var hidden = 1;</script></head><body>
<h1>Billing</h1><p><span>EUR</span> 18,900<span>.00</span></p><td>one</td><td>two</td>
<form action="/search"><input name="q" value="x"></form>
<form method="post" action="/exceptions/EX-1/fix"><input type="hidden" name="csrfmiddlewaretoken" value="t">
<input type="radio" name="target" value="709" checked><input type="radio" name="target" value="711">
<select name="to"><option value="1">A</option><option value="2" selected>B</option></select></form>
<a href="/prebills/PB-1/">PB-1</a></body></html>
"""


def test_amounts_split_into_spans_read_as_one_and_cells_stay_apart():
    page = Page("http://x/", HTML)
    assert "EUR 18,900.00" in page.text
    assert "one two" in page.text
    assert "hidden" not in page.text


def test_a_form_comes_with_its_fields_as_they_stand_and_the_choices():
    form = Page("http://x/", HTML).form("/fix")
    assert form.method == "post"
    assert form.fields == {"csrfmiddlewaretoken": "t", "target": "709", "to": "2"}
    assert form.choices == {"target": ["709", "711"], "to": ["1", "2"]}


def test_what_is_not_on_the_page_is_said():
    page = Page("http://x/", HTML)
    assert page.link("PB-1") == "/prebills/PB-1/"
    with pytest.raises(LookupError, match="no form"):
        page.form("/approve")
