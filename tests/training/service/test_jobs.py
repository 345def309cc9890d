from pathlib import Path

import pytest

from training.service.jobs import LOG, Job, Progress, Shown, Store, write_whole
from training.service.orders import Order


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs")


@pytest.fixture
def job(store: Store) -> Job:
    return store.add(Order(), "person", "")


def test_the_newest_is_first(store: Store) -> None:
    made = [store.add(Order(), "person", "").id for _ in range(20)]
    assert [job.id for job in store.all()] == made[::-1]


def test_a_job_is_kept_as_it_is(store: Store, job: Job) -> None:
    job.state, job.why = "failed", "the machine or the process ended"
    store.write(job)
    assert Store(store.folder(job.id).parent).get(job.id) == job


@pytest.mark.parametrize("name", ["..", ".", "", "20261121t190204-4693706", "../jobs", "20261121t190204-46937062\n"])
def test_only_an_id_names_a_job(name: str, store: Store, job: Job) -> None:
    assert store.get(name) is None


def test_a_job_that_was_begun_and_never_written_is_none(store: Store) -> None:
    store.folder("20261121t190204-46937062").mkdir()
    assert store.all() == []


def test_a_job_is_removed(store: Store, job: Job) -> None:
    store.remove(job)
    assert store.all() == []
    assert [path.name for path in store.folder("x").parent.iterdir()] == []


LINES = {
    "": None,
    "training: reading\n": None,
    "search: 34 of about 224 fits\n": Progress("search", 34, 224, "fits"),
    "search: 34 of about 224 fits\nsearch: 80 of about 2": Progress("search", 34, 224, "fits"),
    "search: 34 of about 224 fits\nsearch: 170 fits done\ntraining: saved\n": Progress("search", 170, 170, "fits"),
}


@pytest.mark.parametrize("text", LINES)
def test_progress_is_read_from_the_log(text: str, store: Store, job: Job) -> None:
    (store.folder(job.id) / LOG).write_text("x" * 20_000 + "\n" + text)
    assert store.progress(job) == LINES[text]


def test_a_job_that_was_not_started_has_no_log(store: Store, job: Job) -> None:
    assert (store.progress(job), store.log(job), store.result(job)) == (None, b"", None)


def test_the_key_is_not_shown(job: Job) -> None:
    assert not hasattr(Shown.of(job, None), "key")


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
