"""Where concurrency lives: inbox, outbox, audit, seals, guarded transitions and human references.

Public surface: :mod:`apps.journal.services`, :mod:`apps.journal.selectors`, :mod:`apps.journal.partitions` (for
rooms that own partitioned tables). Actor and legal-entity ids are plain bigints here: this room knows nobody above it.
"""
