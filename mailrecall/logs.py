"""Structured logs: constant event names with ids. Never addresses of recalled recipients (R23), content or secrets."""

import logging
import sys
import traceback

import structlog

from mailrecall.settings import Settings

_CHATTY = ("celery.app.trace", "celery.worker.strategy", "flask-limiter")
"""Loggers that say of each task that it came and went, or of each request that it was refused: we say it ourselves."""
_MOST_PLACES = 10
"""Places of a failure that are logged, the innermost ones."""


def configure(settings: Settings) -> None:
    """Set up logging for this process; the standard library's loggers come out in the same form."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log = logs.get(__name__)`, then `log.info("recall.planned", recall_id=7)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def kind_of(error: BaseException) -> str:
    """Return the kind of an error and, of one that PostgreSQL reported, its SQLSTATE; never its text.

    The text of an error can quote a row or a header field, and those hold addresses and content (R23).
    """
    sqlstate = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {sqlstate}" if sqlstate else type(error).__name__


def describe(error: BaseException) -> dict[str, object]:
    """Return what may be logged of an error that nobody foresaw: its kind, and the places it came through."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    return {"failure": kind_of(error), "places": places[-_MOST_PLACES:]}
