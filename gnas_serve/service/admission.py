"""Admission: what both doors ask before anything of a request is read."""

from __future__ import annotations

from gnas_serve.service.audit import ADMIN
from gnas_serve.service.auth import ApiKeys, Authenticator, Tokens
from gnas_serve.service.errors import FeatureOffError
from gnas_serve.service.rates import Rates
from gnas_serve.service.settings import Settings


class Admission:
    """Lets requests in: of callers who may call, as often as they may.

    Parameters
    ----------
    authenticator
        Tells who calls.
    rates
        How often one may.
    admins
        The keys of those who may change what is served; nobody may where it is None.
    """

    def __init__(self, authenticator: Authenticator, rates: Rates, admins: ApiKeys | None = None) -> None:
        self._authenticator = authenticator
        self._rates = rates
        self._admins = None if admins is None else Authenticator(admins)

    @classmethod
    def of(cls, settings: Settings) -> Admission:
        """Read the files that the settings name.

        Raises
        ------
        ConfigError
            If one cannot be used.
        """
        keys = None if settings.api_keys is None else ApiKeys.read(settings.api_keys)
        tokens = None
        if settings.jwt_key is not None:
            tokens = Tokens.read(settings.jwt_key, issuer=settings.jwt_issuer, audience=settings.jwt_audience)
        admins = None if settings.admin_keys is None else ApiKeys.read(settings.admin_keys)
        return cls(Authenticator(keys, tokens), Rates(settings.rate_per_s, settings.rate_burst), admins)

    @property
    def counts(self) -> bool:
        """Whether requests are counted: else :meth:`admit` does not look at where they come from."""
        return self._rates.are_limited

    def admit(self, authorization: bytes, api_key: bytes, peer: str, *, is_admin: bool = False) -> None:
        """Let a request in.

        Parameters
        ----------
        authorization, api_key
            The values of the headers, empty where they are absent.
        peer
            The address it comes from: whom it is counted for where callers have no names.
        is_admin
            Whether the call is one for admins: other keys are no good for it.

        Raises
        ------
        UnauthenticatedError
            If the caller is nobody who may call.
        RateLimitedError
            If it is one request too many.
        FeatureOffError
            If there are no admins.
        """
        if is_admin:
            if self._admins is None:
                raise FeatureOffError("this server has no admins", hint="start it with GNAS_ADMIN_KEYS=FILE")
            ADMIN.set(self._admins.caller(authorization, api_key) or "somebody")
            return
        caller = self._authenticator.caller(authorization, api_key)
        self._rates.take(peer if caller is None else f"caller {caller}")
