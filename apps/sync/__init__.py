"""sync: gather, plan, apply. Subjects, flows, plans, transactions, journaled actions, retries, replay.

Public surface: :mod:`apps.sync.services` (enqueue, preview, replay, deal_validate), :mod:`apps.sync.selectors`,
:mod:`apps.sync.filters`.
"""
