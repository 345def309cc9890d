"""Dashboards: each panel is defined once, and drawn by Kibana and on a page that needs no server."""
