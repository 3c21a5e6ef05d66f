"""The healthy deals of the demo firm as data: what was sold to whom, and how far each has come.

Public surface: :class:`Deal`, :func:`healthy`, :data:`STAGES`. Made of :class:`~apps.demo.deals.DealSpec`; nothing here reads
the clock or a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from apps.demo import firm
from apps.demo.deals import DealSpec, Entry, Line

#: How far a deal has come: only set up · drafted, waits for the project manager · waits for finance · issued · paid.
STAGES = ("provisioned", "drafted", "signed", "issued", "paid")
#: Client → legal entity that sells to it.
SELLER = {
    "brackwater": "MER-UK", "thornmere": "MER-UK", "wexmoor": "MER-UK", "pellmont": "MER-US", "sablefield": "MER-US",
    "wexmoor-be": "OST-BE", "tolvane": "OST-BE", "nordeval": "OST-BE",
}  # fmt: skip
TIME_BASED = ("ADV-100", "PMO-110", "ANA-220", "INT-230")
#: Roles that a time-based deal agrees prices for.
ROLES = ("Manager", "Consultant", "Analyst")


@dataclass(frozen=True)
class Deal:
    """A deal and its stage. ``hours`` of time are booked and approved when a time-based deal has come to its first draft."""

    spec: DealSpec
    stage: str
    hours: int = 0

    @property
    def billed(self) -> bool:
        return self.stage != "provisioned"


#: client | name | services | amount in the client's currency | stage | project manager
_TABLE = """
brackwater | Smart meter data platform      | IMP-200         | 180000 | issued      | priya
brackwater | Leakage analytics              | ANA-220         |  96000 | drafted     | jonas
brackwater | Reservoir asset register       | DAT-210         |  74000 | signed      | priya
brackwater | Field crew mobile roll-out     | IMP-200         | 132000 | provisioned | jonas
brackwater | Tariff change readiness        | CHG-300         |  48000 | paid        | priya
brackwater | Billing desk managed support   | SUP-400         |  86400 | issued      | jonas
brackwater | Drought planning strategy      | ADV-100         |  54000 | provisioned | priya
brackwater | Control room integration       | INT-230         | 118000 | provisioned | jonas
brackwater | Customer data migration        | DAT-210         |  92000 | provisioned | priya
thornmere  | Core ledger renewal            | IMP-200         | 420000 | issued      | priya
thornmere  | Branch closure programme       | PMO-110         | 260000 | drafted     | jonas
thornmere  | Credit risk data lake          | ANA-220         | 145000 | provisioned | priya
thornmere  | Payments gateway link          | INT-230         |  88000 | signed      | jonas
thornmere  | Mortgage book migration        | DAT-210         | 168000 | provisioned | priya
thornmere  | Model risk review              | AIR-510         |  39000 | paid        | jonas
thornmere  | Treasury operating model       | ADV-100         |  72000 | provisioned | priya
thornmere  | Anti-fraud training            | CHG-300         |  36000 | drafted     | jonas
thornmere  | Reporting managed support      | SUP-400         |  96000 | provisioned | priya
wexmoor    | Store replenishment roll-out   | IMP-200 CHG-300 | 310000 | paid        | jonas
wexmoor    | Loyalty data migration         | DAT-210         |  64000 | drafted     | priya
wexmoor    | Basket analytics               | ANA-220         |  78000 | issued      | jonas
wexmoor    | Warehouse integration          | INT-230         | 102000 | provisioned | priya
wexmoor    | Tills managed support          | SUP-400         |  72000 | paid        | jonas
wexmoor    | Pricing strategy               | ADV-100         |  45000 | provisioned | priya
wexmoor    | Recommendation engine review   | AIR-510         |  28000 | signed      | jonas
wexmoor    | Store manager training         | CHG-300         |  32000 | provisioned | priya
pellmont   | Clinic scheduling roll-out     | IMP-200         | 350000 | issued      | jonas
pellmont   | Patient record migration       | DAT-210         | 210000 | provisioned | priya
pellmont   | Claims analytics               | ANA-220         | 125000 | drafted     | jonas
pellmont   | Lab systems integration        | INT-230         | 140000 | provisioned | priya
pellmont   | Nurse onboarding programme     | CHG-300         |  66000 | paid        | jonas
pellmont   | Pharmacy managed support       | SUP-400         | 120000 | issued      | priya
pellmont   | Triage model review            | AIR-510         |  52000 | provisioned | jonas
pellmont   | Care pathway strategy          | ADV-100         |  84000 | provisioned | priya
sablefield | Plant maintenance roll-out     | IMP-200         | 275000 | drafted     | jonas
sablefield | Supplier master migration      | DAT-210         |  98000 | paid        | priya
sablefield | Demand forecast analytics      | ANA-220         | 132000 | provisioned | jonas
sablefield | Cold chain integration         | INT-230         | 115000 | signed      | priya
sablefield | Line supervisor training       | CHG-300         |  44000 | issued      | jonas
sablefield | Order desk managed support     | SUP-400         | 108000 | provisioned | priya
sablefield | Network strategy               | ADV-100         |  76000 | provisioned | jonas
sablefield | Yield model review             | AIR-510         |  41000 | drafted     | priya
wexmoor-be | Antwerp store roll-out         | IMP-200 CHG-300 | 190000 | issued      | jonas
wexmoor-be | Benelux assortment analytics   | ANA-220         |  68000 | drafted     | priya
wexmoor-be | Supplier portal integration    | INT-230         |  82000 | provisioned | jonas
wexmoor-be | Dutch language training        | CHG-300         |  27000 | paid        | priya
wexmoor-be | Tills support Belgium          | SUP-400         |  54000 | provisioned | jonas
tolvane    | Timetable planning roll-out    | IMP-200         | 260000 | signed      | priya
tolvane    | Rolling stock data migration   | DAT-210         | 112000 | provisioned | jonas
tolvane    | Punctuality analytics          | ANA-220         |  94000 | drafted     | priya
tolvane    | Ticketing integration          | INT-230         | 126000 | provisioned | jonas
tolvane    | Depot training programme       | CHG-300         |  38000 | issued      | priya
tolvane    | Traffic desk managed support   | SUP-400         |  78000 | provisioned | jonas
nordeval   | Batch record roll-out          | IMP-200         | 340000 | provisioned | priya
nordeval   | Trial data migration           | DAT-210         | 156000 | paid        | jonas
nordeval   | Adverse event analytics        | ANA-220         | 118000 | signed      | priya
nordeval   | Serialisation integration      | INT-230         | 134000 | provisioned | jonas
nordeval   | Good practice training         | CHG-300         |  42000 | drafted     | priya
nordeval   | Quality desk managed support   | SUP-400         |  90000 | provisioned | jonas
nordeval   | Portfolio strategy             | ADV-100         |  96000 | provisioned | priya
"""


def healthy() -> list[Deal]:
    """The deals of the table, each with contract, lines, schedule and rates as its service is billed."""
    return [
        _deal(number, *(part.strip() for part in row.split("|")))
        for number, row in enumerate(_TABLE.strip().splitlines(), start=1)
    ]


def _deal(number: int, client: str, name: str, services: str, amount: str, stage: str, manager: str) -> Deal:
    codes, value = services.split(), Decimal(amount)
    lines = _lines(codes, value)
    first = firm.service(codes[0])
    billed = stage != "provisioned"
    schedule = tuple(entry for line in lines for entry in _schedule(line, billed=billed))
    timed = any(code in TIME_BASED for code in codes)
    currency = firm.client(client).currency
    spec = DealSpec(
        name=name,
        client=client,
        entity=SELLER[client],
        billing_model=first.billing_model,
        lines=lines,
        schedule=schedule,
        rates={role: firm.RATES[role][currency] for role in ROLES} if timed else {},
        project_manager=manager,
        po_number=f"PO-{4500000 + number * 17}" if firm.client(client).po_required else "",
        not_to_exceed=value if first.billing_model == "capped_time_and_materials" else None,
    )
    return Deal(spec, stage, hours=(30 + number % 5 * 15) if timed and billed else 0)


def _lines(codes: list[str], value: Decimal) -> tuple[Line, ...]:
    """A second service is a fifth of the deal."""
    if len(codes) == 1:
        return (Line(codes[0], value),)
    second = (value / 5).quantize(Decimal(1))
    return (Line(codes[0], value - second), Line(codes[1], second))


def _schedule(line: Line, *, billed: bool) -> list[Entry]:
    """How the service is billed: on acceptance, by instalments, a quarter in advance, or by time (no schedule).

    What has come to a draft has its first date today, what has not, only dates to come."""
    model, amount, code = firm.service(line.service).billing_model, line.amount, line.service
    first = 0 if billed else 45
    if model == "milestone":
        shares = (("Design accepted", "0.3"), ("Go-live accepted", "0.7"))
        return [Entry(label, amount * Decimal(share), code) for label, share in shares]
    if model == "instalment":
        half = amount / 2
        return [
            Entry(f"{code} first instalment", half, code, days=first),
            Entry(f"{code} second instalment", amount - half, code, days=first + 90),
        ]
    if model == "retainer":
        quarter = amount / 4
        return [
            Entry(f"Quarter {number}", quarter, code, days=first + 91 * (number - 1))
            for number in (1, 2, 3, 4)
        ]
    return []
