"""Monitoring: from the records that the service leaves to Elasticsearch, dashboards and verdicts on drift."""
