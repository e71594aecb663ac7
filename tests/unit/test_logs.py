"""The log as JSON, what it leaves out, and the names that it gives to users."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnas_serve.errors import ConfigError, StorageError
from gnas_serve.service.access_log import AccessLog, Pseudonyms
from gnas_serve.service.logs import JsonFormatter, set_up
from gnas_serve.service.settings import Settings

NAMES = ("", "bentoml", "uvicorn.error", "circus", "uvicorn.access", "py.warnings")


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, handlers, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def record(message: str, *arguments: object, error: BaseException | None = None, **extra: object) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.getLogger("gnas_serve.x").makeRecord(
        "gnas_serve.x", logging.WARNING, __file__, 1, message, arguments, info, extra=extra or None
    )
    made.created = 1_700_000_000.25
    return made


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


class TestJson:
    def test_a_line_has_time_level_logger_and_message(self) -> None:
        assert line_of(record("a %s\nof two lines: é", "text")) == {
            "time": "2023-11-14T22:13:20.250Z",
            "level": "warning",
            "logger": "gnas_serve.x",
            "message": "a text\nof two lines: é",
        }

    def test_fields_stand_beside_them_and_never_replace_them(self) -> None:
        line = line_of(record("said", fields={"door": "http", "message": "another", "path": Path("/x")}))
        assert (line["message"], line["door"], line["path"]) == ("said", "http", "/x")

    def test_an_exception_is_told_by_its_places_without_words_that_may_quote(self) -> None:
        line = line_of(record("failed", error=raised(KeyError("user-17"), ValueError("item-4"))))
        assert not re.search("user-17|item-4", json.dumps(line))
        described = line["exception"]
        assert isinstance(described, dict)
        assert (described["type"], described["cause"]["type"]) == ("KeyError", "ValueError")
        assert described["stack"][-1].startswith("test_logs.py:")
        assert described["stack"][-1].endswith(" raised")

    def test_our_own_words_and_the_systems_stay(self) -> None:
        line = line_of(record("failed", error=raised(StorageError("no room"), OSError(28, "No space left"))))
        assert json.dumps(line).count("no room") == json.dumps(line).count("No space left") == 1


class TestSetUp:
    def test_text_leaves_the_log_as_it_is_but_for_uvicorns_unwanted_lines(self, untouched_logging: None) -> None:
        handlers = logging.getLogger().handlers
        set_up("text")
        assert logging.getLogger().handlers is handlers
        assert not logging.getLogger("uvicorn.access").hasHandlers()

    def test_json_takes_every_line_once(self, untouched_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
        for name in NAMES[1:4]:
            logging.getLogger(name).addHandler(logging.StreamHandler(sys.stdout))
        set_up("json")
        for name in NAMES[:4]:
            logging.getLogger(name).error("from %s", name)
        said = capsys.readouterr()
        assert said.out == ""
        assert [json.loads(line)["message"] for line in said.err.splitlines()] == [f"from {name}" for name in NAMES[:4]]


class TestPseudonyms:
    def test_one_user_has_one_name_by_one_key(self) -> None:
        names = Pseudonyms(b"k" * 16)
        assert names.of(1007) == names.of("1007") == Pseudonyms(b"k" * 16).of(1007)
        assert len({names.of(1007), names.of(1008), Pseudonyms(b"l" * 16).of(1007)}) == 3
        assert re.fullmatch("[0-9a-f]{32}", names.of("é\ud800"))

    def test_a_key_file(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_bytes(b"k" * 16 + b"\n")
        assert Pseudonyms.read(path).of(1) == Pseudonyms(b"k" * 16).of(1)
        path.write_bytes(b"short\n")
        with pytest.raises(ConfigError, match=r"GNAS_LOG_KEY=.*: 5 bytes, expected 16"):
            Pseudonyms.read(path)
        with pytest.raises(ConfigError, match=r"GNAS_LOG_KEY=.*: No such file"):
            Pseudonyms.read(tmp_path / "nothing")

    def test_without_a_key_file_one_is_drawn(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="gnas_serve")
        settings = Settings(tmp_path, access_log=True)
        for log in (AccessLog.of(settings), AccessLog.of(settings)):
            assert log is not None
            log.write("http", "recommend", "200", 0.001, "r-1", user_id=7)
        first, second = (one.__dict__["fields"]["user"] for one in caplog.records)
        assert first != second
        assert AccessLog.of(Settings(tmp_path)) is None
