"""MLflow's model registry, told which model is live: the alias `live` of the registered model `occupancy`.

MLFLOW_TRACKING_URI says where, as for any MLflow client.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from occupancy.errors import InputError

NAME, ALIAS, VERSION = "occupancy", "live", "occupancy.version"


class NoMlflow(InputError):
    """LOOP_TRACKER asks for a package that is not installed."""


class Serving(Protocol):
    """What serves one model, as `training.loop.targets` has it."""

    def live(self) -> str:
        """Give the live version."""

    def deploy(self, version: str, why: str) -> None:
        """Put a model live."""


class Told(NamedTuple):
    """What serves, and a registry that is told of each deployment, once the journal has it."""

    target: Serving
    models: Path
    client: Any

    def live(self) -> str:
        """Give the live version."""
        return self.target.live()

    def deploy(self, version: str, why: str) -> None:
        """Put a model live; the registry is told later."""
        self.target.deploy(version, why)

    def tell(self, version: str, why: str) -> None:
        """Move the alias to what is live; a registry that fails, and a signal meanwhile, change nothing of that."""
        try:
            self._tell(version, why)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- whatever MLflow does, the model is live
            print(f"MLflow was not told that {version} is live: {str(error) or 'ended by a signal'}", file=sys.stderr)

    def _tell(self, version: str, why: str) -> None:
        if not self.client.search_registered_models(f"name = '{NAME}'"):
            self.client.create_registered_model(NAME)
        known = [v for v in self.client.search_model_versions(f"name = '{NAME}'") if v.tags.get(VERSION) == version]
        if not known:
            source = (self.models / version).resolve().as_uri()
            known = [self.client.create_model_version(NAME, source, tags={VERSION: version}, description=why)]
        self.client.set_registered_model_alias(NAME, ALIAS, known[0].version)


def told(target: Serving, models: Path) -> Told:
    """Have MLflow told of a target's deployments; raises NoMlflow."""
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 -- only who asks for it has it
    except ImportError:
        raise NoMlflow("LOOP_TRACKER=mlflow needs MLflow; `make mlflow` installs it in .venv-mlflow") from None
    return Told(target, models, MlflowClient())
