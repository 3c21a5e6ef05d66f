"""Step 3: delivered work becomes a draft, two people approve it, it is posted, paid, and everybody knows.

Public surface: :data:`STEPS`, :func:`approve`, :func:`draft_of`, :func:`prebill_ref`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import quote

from apps.demo import psa
from apps.demo.story import cast
from apps.demo.story.stage import Stage, Step, cents

HOURS = {"Manager": Decimal(12), "Consultant": Decimal(20)}
MILESTONE = cast.CLAIMS.schedule[0]
NET = MILESTONE.amount + sum(HOURS.values(), Decimal(0)) * cast.BLENDED_RATE
GROSS = NET * (1 + cast.UK_TAX)


def delivered(stage: Stage) -> None:
    sheets = [
        psa.Sheet(cast.CLAIMS.name, "ANA-220", role, hours, person=number, approved=False)
        for number, (role, hours) in enumerate(HOURS.items())
    ]
    days = psa.days_before(stage.today, 5)
    stage.equal(psa.book(stage.control, sheets, days), 5, "time entries booked in the PSA")
    workspace = psa.workspace_of(stage.control, cast.CLAIMS.name)
    sheet = {"workspace_id": workspace, "start_date": days[0].isoformat(), "end_date": days[-1].isoformat()}
    made = stage.system("psa").create("timesheet_submissions", sheet)
    stage.system("psa").patch("timesheet_submissions", made["id"], {"status": "approved"})
    stage.check(True, f"the lead approves {sum(HOURS.values())} hours")
    accepted = psa.accept_milestone(
        stage.control, cast.CLAIMS.name, MILESTONE.label, certificate="CERT-2026-114"
    )
    stage.check(accepted, f"the client accepts “{MILESTONE.label}”")


def drafted(stage: Stage) -> None:
    ref = stage.until("a prebill in the console", lambda: prebill_ref(stage, "nadia", cast.CLAIMS.name))
    invoice = stage.until("the whole draft in the ERP", lambda: draft_of(stage, "erp", ref, NET))
    stage.notes |= {"bill": ref, "invoice": invoice["id"]}
    stage.check(
        not invoice.get("tranId"), f"{ref} is a draft in the ERP over GBP {NET:,.2f}, without a number"
    )
    lines = invoice["item"]["items"]
    stage.equal(len(lines), 6, "its lines, a milestone and five time entries")
    stage.equal(len(stage.control.records("billing", "invoice")), 0, "requests for payment")


def prebill_ref(stage: Stage, username: str, name: str) -> str:
    """The prebill of an engagement as that person finds it in the console, "" while there is none."""
    page = stage.as_person(username).open(f"/prebills/?q={quote(name)}")
    links = sorted({link for link in page.links if link.startswith("/prebills/PB-")})
    return links[-1].split("/")[2] if links else ""


def draft_of(stage: Stage, erp: str, ref: str, net: Decimal) -> dict[str, Any] | None:
    """The ERP's invoice of a prebill once it shows that net amount."""
    for row in stage.control.records(erp, "invoice", externalId=ref):
        lines = row.get("item", {}).get("items", [])
        if cents(sum(Decimal(str(line["amount"])) for line in lines)) == cents(net):
            return row
    return None


def signed(stage: Stage) -> None:
    ref = stage.notes["bill"]
    stage.refuses(
        "helen",
        lambda: approve(stage, "helen", ref),
        "finance cannot take the project manager's step",
        statuses=(403,),
    )
    approve(stage, "priya", ref)
    page = stage.prebill_page("helen", ref)
    stage.check("Finance" in page.text, "the project manager has approved; it waits for finance")
    stage.refuses(
        "priya",
        lambda: approve(stage, "priya", ref),
        "the project manager cannot approve for finance",
        statuses=(403,),
    )
    stage.check(not _invoice(stage).get("tranId"), "nothing is posted yet")
    approve(stage, "helen", ref)
    stage.check(True, "finance has approved")


def approve(stage: Stage, username: str, ref: str) -> None:
    """Press “Approve” on the prebill's page, as shown."""
    page = stage.prebill_page(username, ref)
    stage.as_person(username).submit(page, page.form("/approve"), comment="Checked.")


def _invoice(stage: Stage) -> dict[str, Any]:
    return stage.system("erp").record("invoice", id=stage.notes["invoice"])


def posted(stage: Stage) -> None:
    invoice = stage.until(
        "the ERP's number", lambda: _invoice(stage) if _invoice(stage).get("tranId") else None
    )
    stage.equal(
        cents(invoice["total"]), cents(GROSS), f"{invoice['tranId']} is posted, total with 20 % tax in pence"
    )
    asked = stage.until("a request for payment", lambda: _request(stage, "open"))
    stage.equal(asked["amount_due"], cents(GROSS), "the billing platform asks for, in pence")
    stage.until(
        "the invoice is announced",
        lambda: stage.announcements("psasync.invoice.issued.v1", stage.notes["bill"]),
    )
    page = stage.until("the number in the console", lambda: _page_with(stage, invoice["tranId"]))
    stage.check(page, f"the console shows {invoice['tranId']}")
    stage.notes["number"] = invoice["tranId"]


def _request(stage: Stage, status: str) -> dict[str, Any] | None:
    for row in stage.control.records("billing", "invoice", status=status):
        if row["metadata"].get("pssync_key") == stage.notes["bill"]:
            return row
    return None


def _page_with(stage: Stage, words: str) -> bool:
    return words in stage.prebill_page("helen", stage.notes["bill"]).text


def paid(stage: Stage) -> None:
    request = _request(stage, "open")
    stage.check(request, "the customer opens the request")
    assert request is not None  # checked above
    stage.control.pay(request["id"])
    payments = stage.until("a payment in the ERP", lambda: stage.control.records("erp", "customerPayment"))
    stage.equal(
        [cents(row["payment"]) for row in payments], [cents(GROSS)], "payments applied in the ERP, in pence"
    )
    stage.equal(cents(_invoice(stage)["amountRemaining"]), 0, "open on the ERP's invoice")
    status = stage.until("the CRM shows it", lambda: _crm_paid(stage))
    stage.equal(cents(status["Paid_Amount__c"]), cents(GROSS), "paid according to the CRM, in pence")
    told = stage.until(
        "the payment is announced",
        lambda: stage.announcements("psasync.invoice.paid.v1", stage.notes["bill"]),
    )
    everything = [row["verified"] for row in stage.control.sink_events()]
    stage.check(told and all(everything), f"{len(everything)} announcements received, every signature valid")
    stage.check(
        stage.until("paid in the console", lambda: _console_paid(stage)), "the console shows it as paid"
    )


def _crm_paid(stage: Stage) -> dict[str, Any] | None:
    row = stage.system("crm").record("Eng_Status__c", Opportunity__c=stage.notes["claims"])
    return row if row["Invoice_Status__c"] == "paid" else None


def _console_paid(stage: Stage) -> bool:
    page = stage.as_person("helen").open(f"/prebills/?state=paid&q={stage.notes['bill']}")
    return any(stage.notes["bill"] in link for link in page.links)


STEPS = (
    Step("3a", "in the PSA a milestone is accepted and time approved", delivered),
    Step("3b", "billing readiness moves by itself: a draft invoice in the ERP", drafted),
    Step("3c", "the project manager, then finance approve in the console", signed),
    Step("3d", "the ERP posts it and the billing platform asks for payment", posted),
    Step("3e", "the customer pays: ERP, CRM, console and subscribers know", paid),
)
