"""Salesforce (REST API v68.0).

Public surface: :class:`apps.connectors.adapters.salesforce.adapter.SalesforceAdapter`.
"""
