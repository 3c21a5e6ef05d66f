"""Step 4: a service without a billing code, fixed in the console and replayed. Public surface: :data:`STEPS`."""

from __future__ import annotations

import re
from functools import partial
from typing import Any
from urllib.parse import quote

from apps.demo import deals
from apps.demo.sandbox_client import SandboxControl
from apps.demo.story import cast
from apps.demo.story.invoicing import approve, draft_of, prebill_ref
from apps.demo.story.stage import Stage, Step
from apps.demo.visitor import Page

CODE = "DEAL-SVC-UNMAPPED"
FIXED, NEEDS_PO = cast.REVIEWS[:2], cast.REVIEWS[2]


def blocked(stage: Stage) -> None:
    for spec in cast.REVIEWS:
        deals.close(stage.control, deals.enter(stage.control, spec, today=stage.today))
    refs = stage.until("three cases of one cause", lambda: _cases(stage, 3))
    stage.check(refs, f"{', '.join(refs)}: {CODE}")
    _settled_customers(stage)
    stage.notes |= {"cases": refs, "before": _made(stage.control)}
    names = [row["title"] for row in stage.control.records("psa", "workspaces")]
    stage.check(
        not {spec.name for spec in cast.REVIEWS} & set(names),
        "nothing half-made: no project of theirs exists",
    )


def _cases(stage: Stage, count: int) -> list[str]:
    page = stage.as_person("nadia").open(f"/exceptions/?view=cases&code={CODE}")
    refs = sorted({found for link in page.links for found in re.findall(r"^/exceptions/(EX-\d+)/", link)})
    return refs if len(refs) == count else []


def _settled_customers(stage: Stage) -> None:
    """The customers of the blocked deals do not wait for the service: only what the cause concerns stands still."""
    stage.until(
        "the three customers in Ostrel's ERP", lambda: len(stage.control.records("erp-be", "customer")) == 3
    )
    stage.until("and in the billing platform", lambda: len(stage.control.records("billing", "customer")) == 5)


def _made(control: SandboxControl) -> dict[str, int]:
    """How many customers there are: what the first run has made and the resumed one must not make again."""
    return {
        "customers in Ostrel's ERP": len(control.records("erp-be", "customer")),
        "customers in the billing platform": len(control.records("billing", "customer")),
    }


def seen(stage: Stage) -> None:
    ref = _case_of(stage, FIXED[0].name)
    page = stage.as_person("nadia").open(f"/exceptions/{ref}/")
    stage.check(
        "AIR-510" in page.text and "has no billing code" in page.text,
        "the case tells the reason in a sentence",
    )
    stage.check("18,900.00" in page.text, "the billing it holds: EUR 18,900.00")
    stage.check("Both sides" in page.text, "both sides, field by field")
    stage.check(page.form("/fix").choices.get("target"), "the fix with the ERP's billing codes")
    stage.notes["case"] = ref


def _case_of(stage: Stage, name: str) -> str:
    page = stage.as_person("nadia").open(f"/exceptions/?view=cases&code={CODE}&q={quote(name)}")
    found = sorted({ref for link in page.links for ref in re.findall(r"^/exceptions/(EX-\d+)/", link)})
    stage.equal(len(found), 1, f"cases of {name}")
    return found[0]


def fixed(stage: Stage) -> None:
    nadia, ref = stage.as_person("nadia"), stage.notes["case"]
    preview = nadia.open(f"/exceptions/{ref}/fix/preview?target={cast.RIGHT_ITEM}")
    stage.check(
        "2 clear" in preview.text and "1 turn into another error" in preview.text,
        "preview: 2 clear, 1 changes",
    )
    stage.check("35,300.00" in preview.text, "preview: EUR 35,300.00 released")
    stage.equal(_made(stage.control), stage.notes["before"], "the preview has written nothing")
    after = nadia.submit(preview, preview.form("/fix"), target=cast.RIGHT_ITEM)
    stage.check(ref in after.url, "the analyst maps AIR-510 and runs it")


def cleared(stage: Stage) -> None:
    nadia = stage.as_person("nadia")
    stage.until(
        f"no open case {CODE}",
        lambda: not _open(nadia.open(f"/exceptions/?view=cases&code={CODE}&state=open_all")),
    )
    stage.check(True, "every case with that cause has cleared")
    turned = stage.until(
        "the other cause",
        lambda: _open(nadia.open("/exceptions/?view=cases&code=CUS-PO-REQUIRED&state=open_all")),
    )
    stage.equal(len(turned), 1, f"{NEEDS_PO.name} turned into CUS-PO-REQUIRED: cases")
    for spec in FIXED:
        projects = partial(stage.control.records, "psa", "workspaces", title=spec.name)
        stage.until(f"a project of {spec.name}", projects)
    stage.equal(_made(stage.control), stage.notes["before"], "customers, none made twice")
    for system, kind in (("psa", "workspaces"), ("erp-be", "job")):
        field = "title" if kind == "workspaces" else "companyName"
        names = [row.get(field) for row in stage.control.records(system, kind)]
        stage.check(len(names) == len(set(names)), f"{len(names)} projects in {system}, none twice")


def _open(page: Page) -> set[str]:
    return {ref for link in page.links for ref in re.findall(r"^/exceptions/(EX-\d+)/", link)}


def waits(stage: Stage) -> None:
    bills: dict[str, str] = {}
    for spec in FIXED:
        ref = stage.until(f"a prebill of {spec.name}", partial(prebill_ref, stage, "nadia", spec.name))
        draft = stage.until("its draft in the ERP", partial(_draft, stage, ref, spec))
        bills[spec.name] = ref
        stage.check(
            not draft.get("tranId"),
            f"{bills[spec.name]} waits as a draft over EUR {spec.schedule[0].amount:,.2f}",
        )
    stage.notes["bills"] = bills
    first = bills[FIXED[0].name]
    approve(stage, "jonas", first)
    stage.refuses(
        "ruben",
        lambda: approve(stage, "ruben", first),
        "finance cannot release it while the mapping is unconfirmed",
        statuses=(409,),
    )


def _draft(stage: Stage, ref: str, spec: Any) -> dict[str, Any] | None:
    return draft_of(stage, "erp-be", ref, spec.schedule[0].amount)


def confirmed(stage: Stage) -> None:
    stage.refuses(
        "nadia",
        lambda: _confirm(stage, "nadia"),
        "the analyst cannot confirm her own mapping",
        statuses=(403,),
    )
    _confirm(stage, "ruben")
    page = stage.as_person("ruben").open("/mappings/")
    stage.check("AIR-510" not in page.text, "the controller has confirmed it in the review list")


def _confirm(stage: Stage, username: str) -> None:
    page = stage.as_person(username).open("/mappings/")
    if "AIR-510" not in page.text:
        stage.check(False, f"{username} sees AIR-510 in the review list")
    form = next(form for form in page.forms if "/decide" in form.action)
    stage.as_person(username).submit(page, form, decision="approve")


def released(stage: Stage) -> None:
    first = stage.notes["bills"][FIXED[0].name]
    approve(stage, "ruben", first)

    def number() -> str:
        return str(stage.system("erp-be").record("invoice", externalId=first).get("tranId") or "")

    found = stage.until("the ERP's number", number)
    stage.check(found, f"finance approves {first} and the ERP posts it as {found}")
    others = [ref for ref in stage.notes["bills"].values() if ref != first]
    drafts = [stage.system("erp-be").record("invoice", externalId=ref).get("tranId") for ref in others]
    stage.check(not any(drafts), "the other draft waits for its own approvals")


STEPS = (
    Step("4a", "three deals sell a service that has no billing code", blocked),
    Step("4b", "the analyst opens the case: reason, money, both sides", seen),
    Step("4c", "she maps the value in place, after a preview inside the form", fixed),
    Step("4d", "the transactions resume where they stopped; the others of the group clear too", cleared),
    Step("4e", "what was released waits as drafts", waits),
    Step("4f", "the controller confirms the mapping, not she", confirmed),
    Step("4g", "then finance can release it", released),
)
