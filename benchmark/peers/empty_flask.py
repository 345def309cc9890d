"""The unit of the comparison: a Flask view that does nothing, under the service's own gunicorn settings."""

from typing import Any

from flask import Flask


def create() -> Flask:
    """Make an application that gives every POST /predict the same small answer."""
    app = Flask(__name__, static_folder=None)

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        return {"label": 1, "probability": 0.5}

    return app
