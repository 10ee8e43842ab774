"""Executors beyond this process: Dask, where it is installed."""

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from advgen.core.errors import BadArgument, MissingFile


@contextmanager
def executor_of(cluster: str | None) -> Iterator[Executor | None]:
    """The executor of a Dask scheduler ("tcp://HOST:PORT") or of one started here ("local"); None = no cluster.

    Workers see the run folder, so it must lie where all of them reach it.

    Raises:
        MissingFile: Dask is not installed.
        BadArgument: an address that is none, or nobody answers there.
    """
    if cluster is None:
        yield None
        return
    if cluster != "local" and "://" not in cluster:
        raise BadArgument(f"--cluster takes `local` or an address such as tcp://host:8786, got {cluster!r}.")
    try:
        from distributed import Client
    except ImportError:
        raise MissingFile("--cluster needs Dask: pip install 'advgen[cluster]'.") from None
    client: Any
    try:
        client = Client(processes=True, threads_per_worker=1) if cluster == "local" else Client(cluster, timeout=15)
    except OSError as error:
        raise BadArgument(f"no Dask scheduler answers at {cluster!r}: {error}.") from None
    with client:
        yield client.get_executor()
