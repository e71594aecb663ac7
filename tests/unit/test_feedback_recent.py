"""What users did since: the target event alone, the newest of each, and no more than there is room for."""

import numpy as np
import pytest
from feedback_events import Opened, event

from gnas_serve.errors import ConfigError
from gnas_serve.feedback.recent import Recent
from gnas_serve.vocabulary import Vocabulary

ITEMS = Vocabulary.from_ids([2000, 2001, 2002, 2003, 2004])


def did(user, *items, **fields):
    return [event(f"{user}-{item}", user_id=user, item_id=item, **fields) for item in items]


def test_rows_ascend_and_are_distinct_and_unknown_items_are_passed_over():
    recent = Recent(ITEMS)
    recent.add(did("new", 2003, 2001, 9999, "2000", "none", 2003))
    assert recent.of("new").tolist() == [0, 1, 3]
    assert recent.of("new").dtype == np.int64
    assert recent.of("other").tolist() == []
    assert len(recent) == 1


def test_of_items_that_the_model_does_not_have_it_is_known_who_has_them():
    recent = Recent(ITEMS, target_event="purchase", max_users=2, max_outside_per_user=2)
    recent.add(did("1007", "new-1", 9001) + did(1007, "new-2", event="view"))
    # An integer id may be named by its text, of a user and of an item.
    assert recent.outside(1007, ["new-1", "new-2", 9001, "9002"]) == {"new-1", 9001}
    assert recent.outside("1007", ["9001", 2000]) == {"9001"}
    assert recent.outside(8, ["new-1"]) == set()
    recent.add(did(1007, 2001, "new-1", "new-3"))
    assert recent.outside(1007, ["new-1", "new-3", 9001]) == {"new-1", "new-3"}
    # They take nobody's place who has items of the model, nor do these theirs.
    recent.add(did(8, "new-1") + did(9, "new-1", 2002) + did(10, 2003))
    assert [recent.of(user).tolist() for user in (1007, 8, 9, 10)] == [[], [], [2], [3]]
    assert [recent.outside(user, ["new-1"]) for user in (1007, 8, 9, 10)] == [set(), {"new-1"}, {"new-1"}, set()]


def test_text_ids_tell_a_number_from_its_text():
    recent = Recent(Vocabulary.from_ids(["a", "b"]))
    recent.add(did(1, "9001"))
    assert recent.outside(1, ["9001", 9001]) == {"9001"}


def test_an_integer_user_may_be_named_by_decimal_text():
    recent = Recent(ITEMS)
    recent.add(did(1007, 2001) + did("1007", 2002))
    assert recent.of(1007).tolist() == recent.of("1007").tolist() == [1, 2]


def test_only_the_target_event_counts_and_no_value_below_the_least():
    recent = Recent(ITEMS, target_event="purchase", min_value=3.0)
    recent.add(did(1, 2000, event="view") + did(1, 2001, value=2.5) + did(1, 2002, value=3.0) + did(1, 2003))
    assert recent.of(1).tolist() == [2, 3]


def test_of_too_many_users_those_go_of_whom_nothing_was_heard_the_longest():
    recent = Recent(ITEMS, max_users=2)
    recent.add(did(1, 2000) + did(2, 2001) + did(1, 2002) + did(3, 2003))
    assert [recent.of(user).tolist() for user in (1, 2, 3)] == [[0, 2], [], [3]]


def test_of_too_many_items_the_oldest_go():
    recent = Recent(ITEMS, max_items_per_user=2)
    recent.add(did(1, 2000, 2001, 2000, 2004))
    assert recent.of(1).tolist() == [0, 4]


def test_a_model_that_comes_later_reads_the_log(tmp_path):
    with Opened(tmp_path / "log", segment_bytes=200) as opened:
        for number in range(6):
            opened.log.append([event(number, user_id=number, item_id=2000 + number % 5)])
        everything, latest = Recent(ITEMS), Recent(ITEMS)
        everything.replay(tmp_path / "log", 100)
        latest.replay(tmp_path / "log", 2)
    assert [len(everything.of(user)) for user in range(6)] == [1] * 6
    assert [latest.of(user).tolist() for user in range(6)] == [[], [], [], [], [4], [0]]
    with pytest.raises(ConfigError, match="does not exist"):
        latest.replay(tmp_path / "none", 2)
