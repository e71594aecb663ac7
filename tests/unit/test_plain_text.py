import sys
import unicodedata

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gnas_serve.cli.console import Output, diagnostics, emit, warn
from gnas_serve.plain_text import counted, plain_text


def test_what_steers_a_terminal_is_spelled_out_and_nothing_else():
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        steers = unicodedata.category(letter) == "Cc" or unicodedata.bidirectional(letter) in {
            *("LRE", "RLE", "LRO", "RLO", "PDF"),
            *("LRI", "RLI", "FSI", "PDI"),
        }
        assert (plain_text(letter) != letter) == steers, hex(code)
    assert plain_text("a\x1b[2J\x9b\u202e\n\t") == r"a\x1b[2J\x9b\u202e\x0a\x09"
    assert plain_text("a\nb\x07", keep_newlines=True) == "a\nb\\x07"


def test_a_styled_text_keeps_its_styles(capsys):
    table = Table("\x1b[31mhead", title=Text("\x9btitle"), caption="\x07caption")
    table.add_row(Text("\x1b]0;"))
    emit({}, Group(table, Text.assemble("\x1b]0;", ("bold", "bold"), "\x1b")), Output.text)
    warn("one\x1b[2J\ntwo")
    out, said = capsys.readouterr()
    for shown in (r"\x1b[31mhead", r"\x9btitle", r"\x07caption", r"\x1b]0;bold\x1b"):
        assert shown in out, out
    assert "\\x1b[2J\ntwo" in said
    assert not any(letter in out + said for letter in "\x1b\x9b\x07")
    styled = Text.assemble("\x1b]0;", ("bold", "bold"), "\x1b")
    parts = [part for part in diagnostics().render(styled) if part.style is not None and part.style.bold]
    assert [part.text for part in parts] == ["bold"]


def test_one_thing_is_one_and_several_are_several():
    assert [counted(count, "user") for count in (0, 1, 2, 1200)] == ["0 users", "1 user", "2 users", "1,200 users"]
    assert [counted(count, "event", "name") for count in (1, 2)] == ["1 event names", "2 events name"]
    assert [counted(1, "user", verb) for verb in ("have", "are")] == ["1 user has", "1 user is"]
