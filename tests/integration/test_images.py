"""Builds the images as `make images` does, from a copy of the tree with data of its own, and runs them in Docker."""

import ast
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from monitoring.settings import COMMANDS
from occupancy import __version__, model, record
from occupancy.reading import typical
from occupancy.simulate import simulate, write
from tests import makefile
from tests.monitoring.conftest import Store, elasticsearch, server  # noqa: F401 -- fixtures

ROOT = Path(__file__).parents[2]
REVISION = "0123456789ab"
IMAGES = ("training", "inference", "monitoring", "retraining")
LARGEST_ADDITION = {"inference": 220e6, "monitoring": 240e6, "retraining": 490e6}  # bytes
IS_ROOT = os.getuid() == 0
PERSON = 1000 if IS_ROOT else os.getuid()  # only root can give a file to someone else
STRANGER = 1234 if IS_ROOT else os.getuid()
READING = typical(Temperature=23.0, Humidity=27.0, Light=420.0, CO2=700.0)
COMMAND = [  # the mounts are added where they differ
    *("--env", "TRAINING_DATA=/src/my_data/datatraining.txt"),
    *("--env", "TEST_DATA=/src/original/datatest.txt"),
    *("--env", "SAVE_PATH=/src/out"),
]
QUICK = ["--env", "CANDIDATES=4"]
Build = Callable[[str], str]


def docker(*args: str | Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *map(str, args)], capture_output=True, text=True, timeout=600, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    if not shutil.which("docker"):
        pytest.skip("there is no docker command")
    if (answer := docker("version")).returncode:
        pytest.skip(f"no Docker engine answers: {answer.stderr.strip()}")


pytestmark = pytest.mark.docker


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write(folder / "datatraining.txt", simulate(6, 1), 1)
    write(folder / "datatest.txt", simulate(2, 2), 2)
    return folder


@pytest.fixture(scope="session")
def files(simulated: Path, request: pytest.FixtureRequest) -> Callable[[str], list[Path]]:
    """Name training and test file of a kind of data."""

    def name(kind: str) -> list[Path]:
        if kind == "real":
            return [request.getfixturevalue(fixture) for fixture in ("training_path", "test_path")]
        return [simulated / "datatraining.txt", simulated / "datatest.txt"] if kind == "simulated" else []

    return name


@pytest.fixture(scope="session")
def build(files: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Build all images with `simulated`, `real` or `no` data in data/original; gives their tag."""
    built: list[str] = []

    def make(kind: str) -> str:
        tag = f"test-{kind}-{os.getpid()}"
        if tag not in built:
            context = tmp_path_factory.mktemp("context")
            for folder in ("occupancy", "training", "inference", "monitoring", "requirements"):
                shutil.copytree(ROOT / folder, context / folder)
            for name in (
                *makefile.FILES,
                "Dockerfile.training",
                "Dockerfile.inference",
                "Dockerfile.retraining",
                ".dockerignore",
            ):
                shutil.copy(ROOT / name, context)
            (context / "data").mkdir()
            shutil.copy(ROOT / "data" / "SHA256SUMS", context / "data")
            for file in files(kind):
                (context / "data" / "original").mkdir(exist_ok=True)
                shutil.copyfile(file, context / "data" / "original" / file.name)
            for path in (context, *context.rglob("*")):  # as for someone whose umask is 077
                path.chmod(path.stat().st_mode & 0o700)
            command = ["make", "-C", str(context), "images", f"IMAGE_TAG={tag}", f"REVISION={REVISION}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
            if "buildx component is missing" in done.stderr:
                pytest.skip("this Docker client can't build with BuildKit: install its buildx plugin")
            assert done.returncode == 0, done.stderr
            built.append(tag)
        return tag

    yield make
    for tag in built:
        docker("image", "rm", "--force", *(f"occupancy_{image}:{tag}" for image in IMAGES))


@pytest.fixture(scope="session")
def inference(build: Build) -> str:
    return f"occupancy_inference:{build('simulated')}"


@pytest.fixture(scope="session")
def training(build: Build) -> str:
    return f"occupancy_training:{build('simulated')}"


@pytest.fixture(scope="session")
def monitoring(build: Build) -> str:
    return f"occupancy_monitoring:{build('simulated')}"


@pytest.fixture(params=["inference", "monitoring", "retraining"])
def runtime(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Name an image that only runs what was built, and its program."""
    return request.getfixturevalue(request.param), request.param


@contextmanager
def started(*args: str | Path) -> Iterator[str]:
    container = docker("run", "--detach", *args, check=True).stdout.strip()
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def until(what: Callable[[], bool], container: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        logs = docker("logs", container)
        assert time.monotonic() < deadline, logs.stdout + logs.stderr
        time.sleep(0.1)


def look(form: str, what: str) -> str:
    return docker("inspect", "--format", form, what, check=True).stdout.strip()


def stop(container: str) -> int:
    """Stop as `docker stop` does, with a grace period that is longer than a busy machine's worst; gives the status."""
    docker("stop", "--time", "30", container, check=True)
    return int(look("{{.State.ExitCode}}", container))


# --- the images that only run


def test_image_is_small(runtime: tuple[str, str]) -> None:
    image, program = runtime
    history = docker(
        "history", "--human=false", "--no-trunc", "--format", "{{.Size}} {{.CreatedBy}}", image, check=True
    )
    ours = [line for line in history.stdout.splitlines() if "/opt/venv /opt/venv" in line or "/src /src" in line]
    assert len(ours) == 2, history.stdout
    assert sum(int(line.split()[0]) for line in ours) <= LARGEST_ADDITION[program]


UNNEEDED = {
    "retraining": ("pip", "inference.score", "mlflow"),
    "inference": ("pandas", "sklearn", "vl_convert", "pip", "training", "monitoring"),
    "monitoring": ("xgboost", "scipy", "sklearn", "flask", "pip", "training", "inference.score"),
}


def test_image_holds_nothing_it_does_not_need(runtime: tuple[str, str]) -> None:
    image, program = runtime
    script = f"""
import importlib.util, pathlib
def there(name):
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return False
print([name for name in {UNNEEDED[program]} if there(name)])
print([str(path) for path in pathlib.Path("/opt/venv").rglob("tests")])
print(pathlib.Path("/root/.cache/pip").exists())
"""
    found = docker(
        "run", "--rm", "--user", "0", "--entrypoint", "python", image, "-c", script, check=True
    ).stdout.splitlines()
    assert found == ["[]", "[]", "False"]


def test_image_is_compiled(runtime: tuple[str, str]) -> None:
    image, program = runtime
    modules = {
        "inference": ["inference.server.wsgi"],
        "monitoring": [module for module, _ in COMMANDS.values()],
        "retraining": ["training.service.app", "training.service.job", "training.pipeline", "kubernetes"],
    }[program]
    script = (
        f"import {', '.join(modules)}, sys; print([m.__name__ for m in list(sys.modules.values()) if getattr(m, '__cached__', 0)"
        " and m.__file__.startswith(('/src', '/opt')) and not __import__('os').path.exists(m.__cached__)])"
    )
    assert docker("run", "--rm", "--entrypoint", "python", image, "-c", script, check=True).stdout.strip() == "[]"


# --- the inference image


@contextmanager
def serving(*args: str | Path) -> Iterator[tuple[str, str]]:
    """Run the service as hardened as can be; gives its container and its address once it is ready."""
    hardened = (
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--publish",
        "127.0.0.1::8080",
    )
    with started(*hardened, "--health-interval", "1s", *args) as container:
        address = "http://" + docker("port", container, "8080", check=True).stdout.split()[0]
        until(lambda: answers(f"{address}/healthz"), container)
        yield container, address


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def test_serves_the_shipped_model_read_only_and_not_as_root(inference: str) -> None:
    with serving(inference) as (container, address):
        answer = requests.post(f"{address}/predict", json=READING, timeout=5)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == model.load(ROOT / "inference" / "model" / "model.ubj").version
        assert "simulated" not in answer.json()
        until(lambda: look("{{.State.Health.Status}}", container) == "healthy", container)
        assert docker("exec", container, "id", "-u").stdout.strip() == "10001"
        assert docker("diff", container).stdout == ""
        assert '"occupancy.probability":' in docker("logs", container).stdout


def test_its_arguments_are_those_of_the_program(inference: str, simulated: Path) -> None:
    assert "OCCUPANCY_MODEL_DIGEST" in docker("run", "--rm", inference, "--help", check=True).stdout
    refused = docker("run", "--rm", inference, "--port", "0")
    assert (refused.returncode, refused.stderr) == (2, "inference: --port='0': Expected int >= 1\n")
    as_me = ["--user", str(os.getuid()), "--volume", f"{simulated}:/data:ro"]  # pytest's folders are nobody else's
    scored = docker("run", "--rm", *as_me, inference, "score", "/data/datatest.txt", check=True)
    assert len(scored.stdout.splitlines()) > 1000
    assert "readings scored" in scored.stderr


def test_a_cpu_limit_is_met_by_no_more_threads(inference: str) -> None:
    """Threads that compete for half a core cost a hundred times what they give: one thread scores, be it a thousand."""
    alone = ["--health-interval", "1h"]  # what is asked at the same time has a thread of its own
    with serving("--cpus", "0.5", *alone, inference) as (container, address):
        for _ in range(3):
            assert requests.post(f"{address}/predict", json=[READING] * 1000, timeout=60).status_code == 200
            assert requests.post(f"{address}/predict?explain=true", json=READING, timeout=60).status_code == 200
        script = """
from pathlib import Path
children = Path("/proc/1/task/1/children").read_text().split()
print([t.name for p in ["1", *children] for t in Path("/proc", p, "task").iterdir()])
"""  # of process 1 and its children; this script is no child of any
        service = len(ast.literal_eval(docker("exec", container, "python", "-c", script, check=True).stdout))
        assert (
            service <= 1 + 2 + 4
        )  # gunicorn's; the worker's main and log threads; those that answer: no pool of OpenMP's


def test_any_user_can_run_the_service(inference: str) -> None:
    with serving("--user", "4321:0", inference) as (container, _):
        assert stop(container) == 0


def test_a_sick_service_is_called_unhealthy(inference: str) -> None:
    health = ["--health-interval", "1s", "--health-retries", "1", "--health-start-period", "1ms"]
    with started("--read-only", *health, "--entrypoint", "sleep", inference, "60") as container:
        until(lambda: look("{{.State.Health.Status}}", container) == "unhealthy", container)


def test_stop_answers_what_has_begun_and_ends_with_0(inference: str, trained: Path) -> None:
    """The delay stands for a slow prediction, so that one is being made when SIGTERM comes."""
    mount = ["--volume", f"{trained}:/model:ro", "--env", "OCCUPANCY_MODEL=/model/model.ubj"]
    with serving(*mount, "--env", "OCCUPANCY_DELAY=3", inference) as (container, address):
        given: list[int] = []
        request = threading.Thread(
            target=lambda: given.append(requests.post(f"{address}/predict", json=READING, timeout=30).status_code),
            daemon=True,
        )
        request.start()
        time.sleep(1)
        assert stop(container) == 0
        request.join()
        assert given == [200]


def test_labels(build: Build) -> None:
    titles = {f"occupancy_{image}:{build('simulated')}": f"occupancy_{image}" for image in IMAGES}
    for image, title in titles.items():
        labels = {
            name: look(f'{{{{index .Config.Labels "org.opencontainers.image.{name}"}}}}', image)
            for name in ("title", "licenses", "version", "revision")
        }
        assert labels == {"title": title, "licenses": "Apache-2.0", "version": __version__, "revision": REVISION}


# --- the monitoring image

HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three records, which everyone may read, in a folder that everyone may write to."""
    folder = tmp_path_factory.mktemp("records")
    folder.chmod(0o777)
    boot = record.Boot("occupancy-inference", __version__, "0" * 12, simulated=True)
    request = record.Request("1", "", "", time.monotonic_ns())
    about = {"room": "4.12", "reason": "out_of_range", "field": "CO2", "detail": "CO2 is -1"}
    (folder / "records.jsonl").write_bytes(
        b"".join(record.line(record.refusal(boot, request, **about)) for _ in range(3))  # type: ignore[arg-type]
    )
    (folder / "records.jsonl").chmod(0o644)
    return folder


def test_every_command_of_monitoring_is_there(monitoring: str) -> None:
    script = "import sys; from monitoring.__main__ import main\nfrom monitoring.settings import COMMANDS\nfor name in COMMANDS:\n    try: main([name, '--help'], {})\n    except SystemExit as end: print(name, end.code)"
    said = docker("run", "--rm", *HARDENED, "--entrypoint", "python", monitoring, "-c", script, check=True).stdout
    assert all(f"\n{name} 0\n" in said for name in COMMANDS), said
    assert "setup     index templates" in docker("run", "--rm", *HARDENED, monitoring, check=True).stdout
    assert docker("run", "--rm", monitoring, "lode").returncode == 2


@pytest.mark.parametrize("user", ["10001:10001", "4321:0"])
def test_loads_a_mounted_file_once_into_the_real_elasticsearch(
    user: str,
    monitoring: str,
    records: Path,
    elasticsearch: Store,  # noqa: F811
) -> None:
    reach = ["--network", "host", *(f"--env={name}={value}" for name, value in elasticsearch.environ.items())]
    as_user = ["run", "--rm", "--user", user, *HARDENED, *reach, "--volume", f"{records}:/records"]
    docker(*as_user, monitoring, "setup", check=True)
    state = f"/records/{user.partition(':')[0]}"
    for _ in range(2):
        docker(*as_user, monitoring, "load", "--state", state, "/records/records.jsonl", check=True)
    elasticsearch.client.indices.refresh(index=f"{elasticsearch.prefix}*")
    assert elasticsearch.client.count(index=f"{elasticsearch.prefix}*")["count"] == 3


def test_its_own_folder_can_be_written_as_a_volume(monitoring: str) -> None:
    volume = f"test-{os.getpid()}"
    try:
        script = "import os; open('out/test', 'w'); print(os.getuid())"
        mounted = ["--volume", f"{volume}:/src/out", "--entrypoint", "python"]
        assert docker("run", "--rm", *HARDENED, *mounted, monitoring, "-c", script, check=True).stdout == "10001\n"
    finally:
        docker("volume", "rm", volume)


def test_the_shipped_reference_is_the_default_of_what_judges(monitoring: str, records: Path) -> None:
    mounted = ["--volume", f"{records}:/records:ro"]
    judged = docker("run", "--rm", *HARDENED, *mounted, monitoring, "drift", "/records/records.jsonl")
    assert judged.returncode in {0, 1}, judged.stderr
    there = docker("run", "--rm", "--entrypoint", "cat", monitoring, "/src/inference/model/reference.json", check=True)
    assert json.loads(there.stdout) == json.loads((ROOT / "inference" / "model" / "reference.json").read_text())


# --- the retraining image


@pytest.fixture(scope="session")
def retraining(build: Build) -> str:
    return f"occupancy_retraining:{build('simulated')}"


@pytest.fixture
def mine(tmp_path: Path, simulated: Path) -> list[str]:
    """Mount the simulated data, a folder for the jobs, and a token, as any user's."""
    for name in ("data", "jobs", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    for file in simulated.iterdir():
        shutil.copyfile(file, tmp_path / "data" / file.name)
    (tmp_path / "secret" / "token").write_text("open sesame")
    (tmp_path / "secret" / "token").chmod(0o644)
    mounts = [f"--volume={tmp_path / 'data'}:/data:ro", f"--volume={tmp_path / 'jobs'}:/jobs"]
    secret = [f"--volume={tmp_path / 'secret'}:/secret:ro", "--env=TRAINING_SERVICE_TOKEN_FILE=/secret/token"]
    return [*mounts, *secret, "--env=TRAINING_SERVICE_JOBS=/jobs"]


def test_the_retraining_image_serves_training_read_only_and_not_as_root(
    retraining: str, mine: list[str], tmp_path: Path
) -> None:
    with started(*HARDENED, "--tmpfs", "/tmp", "--publish", "127.0.0.1::8090", *mine, retraining) as container:
        address = "http://" + docker("port", container, "8090", check=True).stdout.split()[0]
        until(lambda: answers(f"{address}/readyz"), container)
        token = {"Authorization": "Bearer open sesame"}

        def job() -> dict[str, object]:
            found: dict[str, object] = requests.get(f"{address}/jobs", headers=token, timeout=30).json()["jobs"][0]
            return found

        asked = requests.post(f"{address}/jobs", json={"settings": {"candidates": 2}}, headers=token, timeout=30)
        assert asked.status_code == 201, asked.text
        until(lambda: job()["ended"] is not None, container, 300)
        assert (job()["state"], job()["status"]) == ("succeeded", 0), job()
        binary = requests.get(f"{address}/jobs/{asked.json()['id']}/model", headers=token, timeout=30).content
        (tmp_path / "model.ubj").write_bytes(binary)
        assert model.load(tmp_path / "model.ubj").card.revision == REVISION
        assert docker("exec", container, "id", "-u").stdout.strip() == "10001"
        assert stop(container) == 0


@pytest.mark.parametrize("program", ["training.service", "training.loop", "training", "monitoring", "training.compare"])
def test_the_retraining_image_has_each_program(program: str, retraining: str) -> None:
    said = docker("run", "--rm", *HARDENED, retraining, program, "--help", check=True).stdout
    assert program in said


def test_the_retraining_image_has_the_shipped_model(retraining: str) -> None:
    script = "from occupancy import model; print(model.load('inference/model/model.ubj').version)"
    said = docker("run", "--rm", "--entrypoint", "python", retraining, "-c", script, check=True).stdout
    assert said.strip() == model.load(ROOT / "inference" / "model" / "model.ubj").version


# --- the training image


@pytest.fixture
def my_data(tmp_path: Path, simulated: Path) -> Path:
    return give_data(tmp_path, simulated / "datatraining.txt", PERSON)


@pytest.fixture(scope="session")
def trained(training: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the training image makes of the data it carries."""
    out = tmp_path_factory.mktemp("trained")
    docker("run", "--rm", "--volume", f"{out}:/src/out", *QUICK, training, check=True)
    out.chmod(0o755)
    return out


def give_data(home: Path, file: Path, uid: int) -> Path:
    """Make a folder my_data that holds a copy of the file and belongs, with all in it, to uid."""
    folder = home / "my_data"
    folder.mkdir()
    copy = folder / "datatraining.txt"
    shutil.copyfile(file, copy)
    for path in (folder, copy):
        os.chown(path, uid, -1)
    return folder


def mounts(my_data: Path, out: Path) -> list[str]:
    return ["--volume", f"{my_data}:/src/my_data", "--volume", f"{out}:/src/out"]


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=pytest.mark.real_data)])
@pytest.mark.parametrize("is_there", [False, True], ids=["out missing", "out there"])
def test_the_documented_command(
    kind: str, is_there: bool, build: Build, files: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    my_data, out = give_data(tmp_path, files(kind)[0], PERSON), tmp_path / "out"
    if is_there:
        out.mkdir()
        os.chown(out, PERSON, -1)
    run = docker("run", "--rm", *mounts(my_data, out), *COMMAND, *QUICK, f"occupancy_training:{build(kind)}")
    assert run.returncode == 0, run.stderr
    assert owners(out) == {PERSON}
    card = model.load(out / "model.ubj").card
    assert (card.simulated, card.revision) == (kind == "simulated", REVISION)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files to someone else")
@pytest.mark.parametrize("uids", [(PERSON, 0, PERSON), (2000, PERSON, 2000), (0, PERSON, PERSON), (0, 0, 0)], ids=str)
def test_results_belong_to_whom_the_folders_belong(
    uids: tuple[int, int, int], training: str, simulated: Path, tmp_path: Path
) -> None:
    of_out, of_data, expected = uids
    my_data, out = give_data(tmp_path, simulated / "datatraining.txt", of_data), tmp_path / "out"
    out.mkdir()
    os.chown(out, of_out, -1)
    run = docker("run", "--rm", *mounts(my_data, out), *COMMAND, *QUICK, training)
    assert run.returncode == 0, run.stderr
    assert owners(out) == {expected}
    assert ("runs as root" in run.stderr) == (expected == 0)


def test_a_folder_in_a_missing_folder_belongs_to_the_person_too(training: str, my_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = docker("run", "--rm", *mounts(my_data, out), *COMMAND, *QUICK, "--env", "SAVE_PATH=/src/out/first", training)
    assert run.returncode == 0, run.stderr
    assert owners(out / "first") == {PERSON}


def test_a_chosen_user_is_kept(training: str, my_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    hardened = ["--user", str(STRANGER), "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    run = docker("run", "--rm", *hardened, *mounts(my_data, out), *COMMAND, *QUICK, training)
    assert run.returncode == 0, run.stderr
    assert owners(out) - {out.stat().st_uid} == {STRANGER} - {out.stat().st_uid}


def test_read_only(training: str, my_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = docker("run", "--rm", "--read-only", *mounts(my_data, out), *COMMAND, *QUICK, training)
    assert run.returncode == 0, run.stderr
    assert owners(out) == {PERSON}


def test_trains_on_what_the_image_carries(trained: Path) -> None:
    assert model.load(trained / "model.ubj").card.simulated


def test_trains_without_any_mount(training: str) -> None:
    run = docker("run", "--rm", *QUICK, training)
    assert run.returncode == 0, run.stderr
    assert "saved /src/out/" in run.stdout
    assert "runs as root" not in run.stderr


def test_is_built_without_data_and_says_so(build: Build) -> None:
    run = docker("run", "--rm", f"occupancy_training:{build('no')}")
    assert run.returncode == 2
    assert run.stderr.startswith("training: /src/original/datatraining.txt")
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "how", [["--read-only"], ["--user", "4321"], ["--volume", "{}:/src/out:ro"]], ids=lambda how: how[0]
)
def test_an_unwritable_save_path_is_one_line_before_any_work(how: list[str], training: str, tmp_path: Path) -> None:
    run = docker("run", "--rm", *(part.format(tmp_path / "out") for part in how), *QUICK, training)
    assert run.returncode == 2
    assert "SAVE_PATH=/src/out can't be written" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_sigterm_ends_it_and_the_earlier_set_is_whole(training: str, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out, symlinks=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "runs.jsonl"}
    with started("--volume", f"{out}:/src/out", "--env", "CANDIDATES=5000", "--env", "SEED=1", training) as container:
        until(lambda: "search" in docker("logs", container).stderr, container)
        assert stop(container) == 143
        assert "the current set in SAVE_PATH is whole" in docker("logs", container).stderr
    assert {
        path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "runs.jsonl"
    } == before
    assert model.load(out / "model.ubj").sha256 == model.load(trained / "model.ubj").sha256


def test_sigterm_ends_it_while_python_still_starts(training: str) -> None:
    with started("--env", "CANDIDATES=5000", training) as container:
        assert stop(container) == 143


def test_arguments_reach_training(training: str) -> None:
    assert docker("run", "--rm", training, "--version").stdout.strip() == f"training {__version__}"
    assert "--save-path" in docker("run", "--rm", training, "--help").stdout
    wrong = docker("run", "--rm", training, "--sead", "1")
    assert (wrong.returncode, "did you mean --seed?" in wrong.stderr) == (2, True)
