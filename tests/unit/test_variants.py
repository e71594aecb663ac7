from collections import Counter

import numpy as np
import pytest
from tiny_artifact import write_tiny_artifact

from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.variants import Variants, position


@pytest.fixture(scope="module")
def recommenders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    return [Recommender.load(write_tiny_artifact(folder / f"a{seed}", seed=seed)) for seed in (0, 1)]


def test_one_model_answers_everybody_and_signs_as_ever(recommenders):
    variants = Variants.of(recommenders[0])
    for query in (Query(), Query(1), Query("1")):
        assert variants.choose(query).signature == {"name": "tiny", "version": "test-0"}


def test_a_canary_gets_its_share_of_the_users_each_always_the_same(recommenders):
    variants = Variants.of(*recommenders, weight=0.2, salt="s")
    chosen = {user: variants.choose(Query(user)).signature["variant"] for user in range(20_000)}
    shares = Counter(chosen.values())
    assert shares["canary"] / 20_000 == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 20_000))
    again = Variants.of(*recommenders, weight=0.2, salt="s")
    assert all(again.choose(Query(user)).signature["variant"] == chosen[user] for user in range(0, 20_000, 7))
    assert all(variants.choose(Query(str(user))).signature["variant"] == chosen[user] for user in range(100))


def test_a_wider_canary_keeps_those_who_had_it(recommenders):
    few, more = (Variants.of(*recommenders, weight=weight, salt="s") for weight in (0.1, 0.3))
    for user in range(2000):
        if few.choose(Query(user)) is few.canary:
            assert more.choose(Query(user)) is more.canary


def test_another_salt_is_another_draw():
    users = range(5000)
    both = np.mean([position("a", user) < 0.5 and position("b", user) < 0.5 for user in users])
    assert both == pytest.approx(0.25, abs=0.03)


def test_the_signature_says_with_what_probability(recommenders):
    variants = Variants.of(*recommenders, weight=0.2, salt="s")
    assert variants.stable.signature == {"name": "tiny", "version": "test-0", "variant": "stable", "propensity": 0.8}
    assert variants.canary.signature == {"name": "tiny", "version": "test-1", "variant": "canary", "propensity": 0.2}


def test_strangers_are_told_apart_by_their_history(recommenders):
    variants = Variants.of(*recommenders, weight=0.5, salt="s")
    always = variants.choose(Query())  # no draw: they are answered by the stable model, certainly
    assert always.signature == {"name": "tiny", "version": "test-0", "variant": "stable", "propensity": 1.0}
    assert always.recommender is variants.stable.recommender
    chosen = {variants.choose(Query(history=(2000 + item,))).signature["variant"] for item in range(40)}
    assert chosen == {"stable", "canary"}
    once = Query(history=(2001, 2002))
    assert len({variants.choose(once).signature["variant"] for _ in range(10)}) == 1
