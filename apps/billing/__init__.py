"""From delivered work to money: billable items, readiness, holds, prebills, invoices and payments.

Public surface: :mod:`apps.billing.services`, :mod:`apps.billing.selectors`, :mod:`apps.billing.filters`,
:mod:`apps.billing.errors`.
"""
