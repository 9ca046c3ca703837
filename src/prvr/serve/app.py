"""The application: the routes of one server, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI

from prvr.serve import (
    errors,
    exports,
    failures,
    folders,
    health,
    libraries,
    models,
    origins,
    pages,
    plain,
    resuming,
    saved,
    search,
    session,
    streams,
    transcripts,
    videos,
)
from prvr.serve.below import Below
from prvr.serve.errors import answers
from prvr.serve.links import link
from prvr.serve.metrics import Counted, Metrics
from prvr.serve.security import OPEN_TO_ALL, Doorman, Gate
from prvr.serve.settings import ServeConfig
from prvr.serve.state import Parts, Shelved, nothing_unknown
from prvr.service.desk import Desk
from prvr.service.jobs import Jobs
from prvr.service.keyring import Keyring
from prvr.service.media import Media
from prvr.service.taking_over import take_over
from prvr.service.watch import Watch

if TYPE_CHECKING:
    from prvr.serve.assistants import OverHttp

EVERYWHERE = answers(400, 401, 403, 413, 421, 422, 429, 500, 503)
ABOUT = """Find the video, and the moment in it, that a sentence describes.

One address, one library. Times are seconds. Every error has the same body; its `code` never changes its meaning."""
PARTS = (
    *(search, origins, saved, videos, streams, transcripts, exports, libraries, resuming, folders, models, failures),
    *(session, health, plain, pages),
)


def create_app(
    desk: Desk, config: ServeConfig, shelf: Sequence[Shelved] = (), doorman: Doorman | None = None
) -> FastAPI:
    """A server over what `desk` owns, one of those on `shelf`, with one `doorman` for all of them.

    Nothing is loaded and no thread starts before the application does. Raises SessionsUnusable where
    sessions cannot be kept.
    """
    metrics, doorman = Metrics(desk), doorman or Doorman(config)
    tools = _tools(desk, config, lambda: app.state.prvr.media)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.openapi()  # now, not in the first answer
        jobs = Jobs(at_once=config.proxies, place=Keyring(config.folder).unfinished if config.keyring else None)
        media = Media(take_over(config.folder, config.watch), cache_bytes=config.cache_bytes)
        metrics.watch(desk, jobs)
        own: dict[str, Any] = {"config": config, "desk": desk, "metrics": metrics, "doorman": doorman}
        watch = Watch(config.folder, lambda path: libraries.read_again(parts, path))
        parts = app.state.prvr = Parts(jobs=jobs, media=media, watch=watch, shelf=tuple(shelf), **own)
        await watch.follow()
        try:
            async with tools.run() if tools else contextlib.nullcontext():
                yield
        finally:
            parts.stopping.set()
            await parts.watch.close()
            jobs.close()
            media.close()

    app = FastAPI(
        title="prvr",
        version=version("prvr"),
        description=ABOUT,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses=EVERYWHERE,
        dependencies=[Depends(nothing_unknown)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = lambda: app.openapi_schema or described(app, config)  # type: ignore[method-assign]
    errors.install(app)
    app.router.routes.extend(tools.routes if tools else [])
    _include(app)
    _guard(app, config, doorman, metrics)
    return app


def _include(app: FastAPI) -> None:
    app.state.addresses = [route for part in PARTS for route in part.router.routes]
    for part in PARTS:
        app.include_router(part.router)


def _guard(app: FastAPI, config: ServeConfig, doorman: Doorman, metrics: Metrics) -> None:
    app.add_middleware(Gate, config=config, doorman=doorman)
    app.add_middleware(Counted, metrics=metrics)
    if config.root_path:
        app.add_middleware(Below, root=config.root_path)  # the outermost


def _tools(desk: Desk, config: ServeConfig, media: Callable[[], Media]) -> OverHttp | None:
    if not config.mcp:
        return None
    from prvr.serve.assistants import OverHttp, assistant

    return OverHttp(assistant(desk, media, paths=config.local))


def described(app: FastAPI, config: ServeConfig) -> dict[str, Any]:
    """The schema of what is served, with the token where one is needed."""
    schema = FastAPI.openapi(app)
    link(schema)
    if config.root_path:
        schema["servers"] = [{"url": config.root_path}]
    if config.token is not None:
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        for path in OPEN_TO_ALL:
            for operation in schema["paths"].get(path, {}).values():
                operation["security"] = []
    return schema
