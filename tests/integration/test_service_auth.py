"""Who may call, at both doors: keys, tokens, rates, TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cli_call import call
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from front_world import World as HttpWorld
from grpc_world import World as GrpcWorld
from grpc_world import refused
from tiny_artifact import write_tiny_artifact

from gnas_serve.errors import ConfigError
from gnas_serve.service.auth import ApiKeys, Authenticator, Tokens, digest_of, new_key
from gnas_serve.service.client import to_id
from gnas_serve.service.errors import UnauthenticatedError
from gnas_serve.service.grpc_calls import _host
from gnas_serve.service.proto import recommender_pb2 as pb
from gnas_serve.service.proto.recommender_pb2_grpc import RecommenderStub
from gnas_serve.service.settings import Settings
from gnas_serve.service.tls import server_credentials

SECRET = "a shared secret of more than thirty-two bytes"  # noqa: S105
ASKED = pb.RecommendRequest(user_id=to_id(1007), k=1)
PEM = serialization.Encoding.PEM


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("auth") / "artifact")


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(scope="module")
def keys_file(key: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# callers\n\nshop {digest_of(key)}\nother {digest_of(new_key())}\n")
    return path


def token(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "shop", "exp": time.time() + 600} | claims, key, algorithm=algorithm)


def headers(name: str, value: str) -> dict[str, str]:
    return {"content-type": "application/json", name: value}


@pytest.fixture(scope="module")
def doors(artifact: Path, keys_file: Path) -> Iterator[tuple[HttpWorld, GrpcWorld]]:
    http, rpc = HttpWorld(artifact, api_keys=keys_file), GrpcWorld(artifact, api_keys=keys_file)
    yield http, rpc
    rpc.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tls")
    return {name: folder / name for name in _write_certificates(folder)}


class TestBothDoors:
    @pytest.mark.parametrize("name", ["authorization", "x-api-key"])
    def test_a_key_lets_in(self, doors: tuple[HttpWorld, GrpcWorld], key: str, name: str) -> None:
        value = f"Bearer {key}" if name == "authorization" else key
        reply = doors[0].ask("POST", "/v1/recommend", content=b'{"k": 1}', headers=headers(name, value))
        assert reply.status_code == 200
        assert len(doors[1].stub.Recommend(ASKED, metadata=((name, value),)).items) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda _: "",
            lambda _: "Bearer",
            lambda _: "Bearer ",
            lambda key: f"Bearer {key[:-1]}",
            lambda key: f"Bearer {key}x",
            lambda key: f"Basic {key}",
            lambda key: f"Bearer {digest_of(key)}",
            lambda _: "Bearer a.b.c",
            lambda _: f"Bearer {'x' * 100_000}"[:7000],
        ],
    )
    def test_anything_else_does_not(
        self, doors: tuple[HttpWorld, GrpcWorld], key: str, change: Callable[[str], str]
    ) -> None:
        value = change(key)
        reply = doors[0].ask("POST", "/v1/recommend", content=b"{}", headers=headers("authorization", value))
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
        assert reply.headers["www-authenticate"] == "Bearer"
        status, code, detail = refused(
            lambda: doors[1].stub.Recommend(ASKED, metadata=(("authorization", value.strip()),))
        )
        assert (status, code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        assert detail == reply.json()["detail"]

    def test_nothing_is_told_to_strangers(self, doors: tuple[HttpWorld, GrpcWorld]) -> None:
        for method, path in (("GET", "/v1/model"), ("GET", "/v1/nothing"), ("PUT", "/v1/recommend")):
            assert doors[0].ask(method, path).status_code == 401
        assert refused(lambda: doors[1].stub.GetModel(pb.GetModelRequest()))[1] == "unauthenticated"

    def test_what_is_behind_the_front_stays_open(self, doors: tuple[HttpWorld, GrpcWorld]) -> None:
        assert doors[0].ask("GET", "/readyz").status_code == 200


class TestTokens:
    def test_of_a_shared_secret(self) -> None:
        found = Authenticator(tokens=Tokens(SECRET))
        assert found.caller(f"Bearer {token()}".encode(), b"") == "shop"

    @pytest.mark.parametrize(
        ("private", "algorithm"),
        [
            (rsa.generate_private_key(65537, 2048), "RS256"),
            (rsa.generate_private_key(65537, 2048), "PS256"),
            (ec.generate_private_key(ec.SECP256R1()), "ES256"),
            (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        ],
        ids=["RS256", "PS256", "ES256", "EdDSA"],
    )
    def test_of_a_public_key(self, private: Any, algorithm: str) -> None:
        public = private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        tokens = Tokens(public)
        assert tokens.caller(token(private, algorithm).encode()) == "shop"
        # The classic forgery: the public key, which everybody has, taken for a shared secret.
        header, payload, _ = token().split(".")
        for forged in (_signed(public, token()), f"{header}.{payload}.", _unsigned(token())):
            assert tokens.caller(forged.encode()) is None

    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": -120},  # seconds from now
            {"exp": None},
            {"sub": None},
            {"nbf": 300},
            {"iss": "somebody else"},
            {"aud": "another service"},
        ],
    )
    def test_what_is_not_trusted(self, claims: dict[str, Any]) -> None:
        good = {"iss": "https://issuer", "aud": "gnas"}
        tokens = Tokens(SECRET, issuer="https://issuer", audience="gnas")
        assert tokens.caller(token(**good).encode()) == "shop"
        claims = {
            name: time.time() + value if name in {"exp", "nbf"} and value else value for name, value in claims.items()
        }
        wrong = {name: value for name, value in (good | claims).items() if value is not None}
        whole = {"sub": "shop", "exp": time.time() + 600} | wrong
        for name, value in claims.items():
            if value is None:
                del whole[name]
        assert tokens.caller(jwt.encode(whole, SECRET, algorithm="HS256").encode()) is None
        assert tokens.caller(token("another secret of more than thirty-two bytes", **good).encode()) is None

    def test_a_key_beside_them(self, key: str, keys_file: Path) -> None:
        both = Authenticator(ApiKeys.read(keys_file), Tokens(SECRET))
        assert both.caller(b"", key.encode()) == "shop"
        assert both.caller(f"bearer {token()}".encode(), b"") == "shop"
        with pytest.raises(UnauthenticatedError):
            both.caller(b"", b"")


def _signed(secret: str, like: str) -> str:
    import base64
    import hashlib
    import hmac

    header, payload, _ = like.split(".")
    signature = hmac.new(secret.encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _unsigned(like: str) -> str:
    import base64

    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{header}.{like.split('.')[1]}."


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "holds no key"),
            ("shop", "line 1"),
            (f"# fine\nshop {'0' * 63}", "line 2"),
            (f"shop {'0' * 64}\nshop {'1' * 64}", "shop occurs before"),
            (f"sh op {'0' * 64}", "line 1"),
            ("\udcff", "cannot be read"),
        ],
    )
    def test_wrong_keys_name_the_line(self, tmp_path: Path, content: str, said: str) -> None:
        path = tmp_path / "keys"
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(ConfigError, match=said):
            ApiKeys.read(path)

    def test_an_error_never_shows_a_key(self, tmp_path: Path) -> None:
        path, key = tmp_path / "keys", new_key()
        path.write_text(f"shop {key}\n")  # the key itself instead of its hash
        with pytest.raises(ConfigError) as raised:
            ApiKeys.read(path)
        assert key not in str(raised.value)

    @pytest.mark.parametrize("content", ["short", "-----BEGIN PUBLIC KEY-----\nnone\n-----END PUBLIC KEY-----"])
    def test_wrong_keys_of_tokens(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "key"
        path.write_text(content)
        with pytest.raises(ConfigError, match="holds no key for tokens"):
            Tokens.read(path)

    def test_a_private_key_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        private = ed25519.Ed25519PrivateKey.generate()
        path.write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        with pytest.raises(ConfigError, match="a private key"):
            Tokens.read(path)

    def test_the_command_makes_a_key_and_its_line(
        self, artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert call("api-key", "shop", "--output", "json") == 0
        made = json.loads(capsys.readouterr().out)
        path = tmp_path / "keys"
        path.write_text(made["line"])
        assert ApiKeys.read(path).caller(made["key"].encode()) == "shop"
        assert made["key"] not in made["line"]
        assert call("api-key", "no name") == 2


class TestRates:
    def test_both_doors_refuse_what_is_too_much(self, artifact: Path) -> None:
        limits: dict[str, Any] = {"rate_per_s": 0.1, "rate_burst": 3}
        http = HttpWorld(artifact, **limits)
        replies = [http.post("/v1/recommend", {"k": 1}) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        assert replies[-1].json()["code"] == "rate_limited"
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 10
        rpc = GrpcWorld(artifact, **limits)
        try:
            for _ in range(3):
                rpc.stub.Recommend(ASKED)
            status, code, _ = refused(lambda: rpc.stub.Recommend(ASKED))
            # Another connection is the same caller.
            with grpc.insecure_channel(rpc.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                again = refused(lambda: RecommenderStub(channel).Recommend(ASKED))  # type: ignore[no-untyped-call]
        finally:
            rpc.close()
        assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
        assert again[1] == "rate_limited"


@pytest.mark.parametrize(
    ("peer", "host"), [("ipv4:127.0.0.1:1234", "127.0.0.1"), ("ipv6:%5B::1%5D:50051", "::1"), ("unix:", "")]
)
def test_a_caller_is_the_same_at_both_doors(peer: str, host: str) -> None:
    assert _host(peer) == host


class TestTls:
    def test_the_door_speaks_tls_alone(self, artifact: Path, certificates: dict[str, Path]) -> None:
        world = GrpcWorld(artifact, grpc_tls_cert=certificates["server.crt"], grpc_tls_key=certificates["server.key"])
        try:
            trusted = grpc.ssl_channel_credentials(certificates["ca.crt"].read_bytes())
            with grpc.secure_channel(world.target, trusted) as channel:
                assert len(_stub(channel).Recommend(ASKED, timeout=10).items) == 1
            with grpc.insecure_channel(world.target) as channel, pytest.raises(grpc.RpcError):
                _stub(channel).Recommend(ASKED, timeout=5)
        finally:
            world.close()

    def test_callers_may_have_to_show_a_certificate(self, artifact: Path, certificates: dict[str, Path]) -> None:
        world = GrpcWorld(
            artifact,
            grpc_tls_cert=certificates["server.crt"],
            grpc_tls_key=certificates["server.key"],
            grpc_tls_client_ca=certificates["ca.crt"],
        )
        root = certificates["ca.crt"].read_bytes()
        try:
            own = grpc.ssl_channel_credentials(
                root, certificates["client.key"].read_bytes(), certificates["client.crt"].read_bytes()
            )
            with grpc.secure_channel(world.target, own) as channel:
                assert len(_stub(channel).Recommend(ASKED, timeout=10).items) == 1
            strangers = grpc.secure_channel(world.target, grpc.ssl_channel_credentials(root))
            with strangers as channel, pytest.raises(grpc.RpcError):
                _stub(channel).Recommend(ASKED, timeout=5)
        finally:
            world.close()

    @pytest.mark.parametrize(
        ("cert", "key"), [("server.crt", "client.key"), ("server.key", "server.key"), ("absent", "server.key")]
    )
    def test_wrong_files_are_told_at_the_start(
        self, artifact: Path, certificates: dict[str, Path], cert: str, key: str
    ) -> None:
        folder = certificates["ca.crt"].parent
        with pytest.raises(ConfigError, match="TLS of the gRPC door"):
            server_credentials(Settings(artifact, grpc_tls_cert=folder / cert, grpc_tls_key=folder / key))

    def test_an_encrypted_key_does_not_wait_for_a_password(self, artifact: Path, tmp_path: Path) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        locked = tmp_path / "locked.key"
        locked.write_bytes(
            private.private_bytes(
                PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
            )
        )
        certificate = tmp_path / "some.crt"
        certificate.write_bytes(_certificate("some", private, "some", private).public_bytes(PEM))
        with pytest.raises(ConfigError, match="encrypted"):
            server_credentials(Settings(artifact, grpc_tls_cert=certificate, grpc_tls_key=locked))


def _stub(channel: grpc.Channel) -> Any:
    return RecommenderStub(channel)  # type: ignore[no-untyped-call]


def _write_certificates(folder: Path) -> list[str]:
    authority = ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.crt").write_bytes(_certificate("ca", authority, "ca", authority).public_bytes(PEM))
    for name in ("server", "client"):
        private = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.crt").write_bytes(_certificate(name, private, "ca", authority).public_bytes(PEM))
        (folder / f"{name}.key").write_bytes(
            private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return sorted(path.name for path in folder.iterdir())


def _certificate(name: str, key: Any, issuer: str, issuer_key: Any) -> x509.Certificate:
    now = datetime.now(UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_loopback())]), critical=False)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _loopback() -> Any:
    import ipaddress

    return ipaddress.ip_address("127.0.0.1")
