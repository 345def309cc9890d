"""The service's own description, at GET /openapi.json."""
