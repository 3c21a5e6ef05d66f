"""``/api/v1/deals/``: may a deal be provisioned? Public surface: :mod:`apps.api.deals.urls`."""
