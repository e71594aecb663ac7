"""The trail of what admins did: who asked for which change of what is served, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from contextvars import ContextVar

from gnas_serve.errors import GnasError
from gnas_serve.service.deployment import Deployment

ADMIN: ContextVar[str] = ContextVar("admin", default="somebody")
"""The name of the key that the present call came with."""

_log = logging.getLogger(__name__)


async def followed(asked: str, change: Awaitable[Deployment]) -> Deployment:
    """Wait for a change, and log a line of it.

    Parameters
    ----------
    asked
        The change, as it was asked for.
    """
    try:
        done = await change
    except GnasError as error:
        _log.warning("deployment: %s asked for %s: refused (%s), %s", ADMIN.get(), asked, error.code, error)
        raise
    except BaseException as error:
        _log.warning("deployment: %s asked for %s: not waited for to its end (%r)", ADMIN.get(), asked, error)
        raise
    _log.info("deployment: %s asked for %s: revision %d, %s", ADMIN.get(), asked, done.revision, done.told())
    return done
