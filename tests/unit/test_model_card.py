"""Names of a model card come from data and profiles: whatever they hold, they are shown and mean nothing."""

from dataclasses import replace
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt
from tiny_artifact import write_tiny_artifact

from gnas_export.accounts.model_card import model_card
from gnas_serve.artifact.manifest import Manifest

MARKDOWN = MarkdownIt("commonmark").enable(["table"])
PLAIN = {"inline", "text", "code_inline", "softbreak", "list_item", "bullet_list", "paragraph", "heading"}
PLAIN |= {"table", "thead", "tbody", "tr", "th", "td"}

SIZE = 1234
HOSTILE = [
    "<script>alert(1)</script>",
    "<!-- a comment",
    "![x](http://evil/x.png)",
    "[click](http://evil)",
    "<http://evil>",
    "&lt;b&gt; &#60;",
    "*a* **b** _c_ __d__ a_b ~~e~~",
    "`code` ``more`` `",
    "` ` `",
    "a | b | c",
    "a \\",
    "\\| \\` \\\\|",
    "a\n# H\n\n| x |\n|---|\n- y",
    "name ##",
    "# ##",
    "\x1b[31m\x9b\u202e",
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    made = Manifest.read(write_tiny_artifact(tmp_path_factory.mktemp("card") / "artifact"))
    gate = {"name": "table_recall", "value": 0.5, "limit": 0.4, "passed": True, "remark": "of tables"}
    return replace(made, gates=(gate,))


def shown(card):
    """Give the texts of a card as a reader sees them, by what they stand in."""
    found = {"heading": [], "cell": [], "code": []}
    tokens = MARKDOWN.parse(card)
    for before, token in pairwise(tokens):
        kinds = {part.type.removesuffix("_open").removesuffix("_close") for part in (token, *(token.children or ()))}
        assert kinds <= PLAIN, kinds - PLAIN
        if token.type != "inline":
            continue
        text = "".join(part.content for part in token.children)
        if before.type == "heading_open":
            found["heading"].append(text)
        elif before.type in {"td_open", "th_open"}:
            found["cell"].append(text)
        found["code"] += [part.content for part in token.children if part.type == "code_inline"]
    return found


def spelled(text):
    """Say how it is to be seen: on one line, control characters spelled out."""
    for letter, code in (("\x1b", r"\x1b"), ("\x9b", r"\x9b"), ("\u202e", r"\u202e")):
        text = text.replace(letter, code)
    return " ".join(text.split())


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_they_are(manifest, name):
    card = model_card(
        replace(
            manifest,
            name=name,
            profile=name,
            data={"target_event": name, "policy": name, "fingerprint": name},
            model={"finetuned_from": {"fingerprint": "0", "name": name}},
            gates=({**manifest.gates[0], "remark": name},),
        ),
        SIZE,
    )
    innocent = shown(model_card(manifest, SIZE))
    found = shown(card)
    assert found["heading"] == [spelled(name), *innocent["heading"][1:]]
    assert spelled(name) in found["code"]
    assert found["cell"].count(spelled(name)) == 3  # event, fingerprint, remark
    assert f"{spelled(name)}, seed None" in found["cell"]
    assert f"0, as {spelled(name)}" in found["cell"]
    assert len(found["cell"]) == len(innocent["cell"]) + 2
    assert all(letter == "\n" or letter.isprintable() for letter in card)


def test_addresses_are_no_links_where_bare_ones_are(manifest):
    card = model_card(replace(manifest, name="http://evil www.evil.com", profile="p"), SIZE)
    assert card.startswith(r"# http\://evil www\.evil.com" + "\n")


def test_words_with_underscores_are_left_readable(manifest):
    assert "| table_recall | 0.5 | 0.4 | yes | of tables |" in model_card(manifest, SIZE)
