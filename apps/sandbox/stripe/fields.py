"""Parameters that each Stripe call takes; another one is refused as ``parameter_unknown``.

Source: docs.stripe.com/api (customers, invoices, invoiceitems, credit_notes, events, tax_rates, disputes,
invoice_payments) and the parameter
classes of stripe-python 16.1. A name covers everything nested below it.
Public surface: PARAMETERS, ZERO_DECIMAL, THREE_DECIMAL, API_VERSION.
"""

API_VERSION = "2026-10-28.endive"
ZERO_DECIMAL = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf",
                "xof", "xpf"}  # fmt: skip
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}

_CUSTOMER = (
    "address balance description email expand invoice_prefix invoice_settings metadata name next_invoice_sequence phone "
    "preferred_locales shipping tax tax_exempt business_name individual_name"
)
_INVOICE = (
    "account_tax_ids application_fee_amount auto_advance automatic_tax automatically_finalizes_at collection_method "
    "custom_fields days_until_due default_payment_method default_tax_rates description discounts due_date effective_at "
    "expand footer issuer metadata number payment_settings rendering shipping_cost shipping_details "
    "statement_descriptor transfer_data"
)
_ITEM = (
    "amount description discountable discounts expand metadata period price_data pricing quantity quantity_decimal "
    "tax_behavior tax_code tax_rates unit_amount_decimal"
)
_LIST = "limit starting_after ending_before expand created"

PARAMETERS = {
    "customer.create": _CUSTOMER + " tax_id_data payment_method test_clock",
    "customer.update": _CUSTOMER + " default_source",
    "customer.list": _LIST + " email test_clock",
    "customer.search": "query limit page expand",
    "invoice.create": _INVOICE
    + " customer currency pending_invoice_items_behavior from_invoice subscription on_behalf_of",
    "invoice.update": _INVOICE,
    "invoice.list": _LIST + " customer status collection_method due_date subscription",
    "invoice.search": "query limit page expand",
    "invoice.finalize": "auto_advance expand",
    "invoice.send": "expand",
    "invoice.pay": "expand forgive mandate off_session paid_out_of_band payment_method source",
    "invoice.void": "expand",
    "invoice.mark_uncollectible": "expand",
    "invoice.add_lines": "lines invoice_metadata expand",
    "invoice.lines": "limit starting_after ending_before expand",
    "invoiceitem.create": _ITEM + " customer currency invoice subscription",
    "invoiceitem.update": _ITEM,
    "invoiceitem.list": _LIST + " customer invoice pending",
    "credit_note.create": "amount credit_amount effective_at email_type expand invoice lines memo metadata "
    "out_of_band_amount reason refund_amount refunds shipping_cost",
    "credit_note.update": "expand memo metadata",
    "credit_note.void": "expand",
    "credit_note.list": _LIST + " customer invoice",
    "event.list": _LIST + " type types delivery_success",
    "tax_rate.create": "active country description display_name expand inclusive jurisdiction metadata percentage state "
    "tax_type",
    "tax_rate.list": _LIST + " active inclusive",
    "tax_id.create": "type value expand",
    "tax_id.list": _LIST,
    "dispute.list": _LIST + " charge payment_intent",
    "invoice_payment.list": _LIST + " invoice payment status",
    "line": _ITEM,
}
