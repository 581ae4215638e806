"""At an outside address, all that belongs together meets on one worker."""

from __future__ import annotations

import warnings

import pytest

from napari_unet.engine.client import Compute, Engine
from napari_unet.errors import WorkerError


def where(number: int) -> str:
    from distributed import get_worker

    del number
    return str(get_worker().address)


@pytest.fixture
def cluster():
    """Two workers in threads of this process, over TLS."""
    from distributed import LocalCluster
    from distributed.security import Security

    security = Security.temporary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the port of a dashboard
        found = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            scheduler_kwargs={"dashboard": False},
        )
    yield found, security
    found.close()


@pytest.fixture
def engine(cluster, tmp_path):
    found, security = cluster
    files = []
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        path = tmp_path / f"{name}.pem"
        path.write_text(getattr(security, name))
        files.append(str(path))
    outside = Engine(Compute(found.scheduler_address, *files))
    yield outside
    outside.close()


def places(engine: Engine) -> set[str]:
    futures = [engine.submit(where, number) for number in range(12)]
    return {engine.result(future) for future in futures}


def test_all_tasks_and_values_go_to_one_worker(engine, cluster):
    (place,) = places(engine)
    sent = engine.send(b"values")
    held = engine.client().who_has([sent])
    assert list(held.values()) == [(place,)]
    assert len(cluster[0].workers) == 2


def test_a_worker_that_is_gone_is_said_and_another_is_chosen(
    engine, cluster, monkeypatch
):
    monkeypatch.setattr("napari_unet.engine.client.PLACE_PULSE", 0.0)
    (place,) = places(engine)
    workers = cluster[0].workers.values()
    (chosen,) = [worker for worker in workers if worker.address == place]
    cluster[0].sync(chosen.close)
    with pytest.raises(WorkerError, match=f"worker at {place} has ended"):
        places(engine)
    (other,) = places(engine)
    assert other != place
    (last,) = [worker for worker in workers if worker.address == other]
    cluster[0].sync(last.close)
    engine.release()
    with pytest.raises(WorkerError, match="has no workers"):
        engine.client()
