"""TLS of the gRPC door."""

from __future__ import annotations

import ssl

import grpc

from gnas_serve.errors import ConfigError
from gnas_serve.service.settings import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Read certificate and key; None where the door speaks without TLS.

    Raises
    ------
    ConfigError
        If a file cannot be read, or key and certificate do not belong together: gRPC itself would only say, at the
        first connection and in its log, that a handshake failed.
    """
    certificate, key, authority = settings.grpc_tls_cert, settings.grpc_tls_key, settings.grpc_tls_client_ca
    if certificate is None or key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        if authority is not None:
            context.load_verify_locations(authority)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"TLS of the gRPC door, {certificate} and {key}: {error}",
            hint="give a certificate and its key, both in PEM and the key without a password",
            code="invalid_tls",
        ) from error
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=None if authority is None else authority.read_bytes(),
        require_client_auth=authority is not None,
    )


def _no_password() -> str:
    # Without one OpenSSL asks on the terminal, and a server without a terminal waits for ever.
    raise ValueError("the key is encrypted")
