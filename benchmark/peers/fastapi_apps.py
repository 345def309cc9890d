"""FastAPI twice: a handler that does nothing, and the usual model server of a tutorial.

    python -m benchmark.peers.fastapi_apps PORT plain             POST /predict gives a constant
    python -m benchmark.peers.fastapi_apps PORT standard MODEL    POST /predict validates and scores one reading

`plain` is uvicorn as `pip install fastapi uvicorn` brings it, on h11 and asyncio; `standard` is `uvicorn[standard]`, on
httptools and uvloop. It runs in an environment of its own: nothing of this project is imported.
"""

import sys

import numpy as np
import uvicorn
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel, Field


class Reading(BaseModel):  # pydantic is not installed where types are checked
    """One reading of a room's sensors, in the order of the model's inputs."""

    Temperature: float = Field(ge=-40, le=60)
    Humidity: float = Field(ge=0, le=100)
    Light: float = Field(ge=0, le=150_000)
    CO2: float = Field(ge=200, le=40_000)
    HumidityRatio: float = Field(ge=0, le=0.2)


class Answer(BaseModel):
    """What the model says of a reading."""

    label: int
    probability: float


def empty() -> FastAPI:
    """Make the application that does nothing."""
    app = FastAPI()

    @app.post("/predict")  # type: ignore[untyped-decorator]
    async def predict() -> dict[str, float]:
        return {"label": 1, "probability": 0.5}

    return app


def predicting(model: str) -> FastAPI:
    """Make the application that scores readings with a model file."""
    app = FastAPI()
    booster = xgboost.Booster(model_file=model)
    booster.set_param({"nthread": 1})

    @app.post("/predict")  # type: ignore[untyped-decorator]
    async def predict(reading: Reading) -> Answer:
        values = np.array([list(reading.model_dump().values())], np.float32)
        probability = float(booster.inplace_predict(values, validate_features=False)[0])
        return Answer(label=int(probability >= 0.5), probability=probability)

    return app


if __name__ == "__main__":
    port, kind, *model = sys.argv[1:]
    parts = {"plain": ("h11", "asyncio"), "standard": ("httptools", "uvloop")}
    http, loop = parts[kind]
    app = predicting(*model) if model else empty()
    uvicorn.run(app, port=int(port), http=http, loop=loop, access_log=False, log_level="warning")
