"""Filter expressions drawn by chance over the columns of `attribute_tables.random_table`, and what they mean."""

import json

from attribute_tables import WORDS

from gnas_serve.runtime.filter_tokens import written


def random_tree(rng, depth):
    """Draw an expression: a tree of tuples."""
    kind = rng.choice(["and", "or", "not", "leaf", "leaf"] if depth else ["leaf"])
    if kind in {"and", "or"}:
        return (kind, *(random_tree(rng, depth - 1) for _ in range(rng.randrange(2, 4))))
    if kind == "not":
        return ("not", random_tree(rng, depth - 1))
    name = rng.choice(["price", "in_stock", "category", "tags", "list price", "a`b", "not"])
    if rng.random() < 0.1:
        return (rng.choice(["null", "not null"]), name)
    if name == "tags":
        operator = rng.choice(["has", "in", "not in"])
    elif name in {"category", "a`b"}:
        operator = rng.choice(["==", "!=", "in", "not in"])
    else:
        operator = rng.choice(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
    is_text = name in {"tags", "category", "a`b"}

    def value():
        return rng.choice([*WORDS, "never"]) if is_text else rng.choice([-1.5, 0, 1, 2.0, 3.25, 1e9, True, False])

    several = operator.endswith("in")
    return (operator, name, [value() for _ in range(rng.randrange(1, 5))] if several else value())


def text_of(rng, tree):
    """Write an expression in the language, in one of its spellings."""
    operator, *rest = tree
    if operator in {"and", "or"}:
        return f" {_cased(rng, operator)} ".join(f"({text_of(rng, term)})" for term in rest)
    if operator == "not":
        return f"{_cased(rng, 'not')} ({text_of(rng, rest[0])})"
    name = written(rest[0])
    if operator in {"null", "not null"}:
        return f"{name} is {operator}"
    blank = rng.choice(["", " "]) if not operator[0].isalpha() and not isinstance(rest[1], bool | str) else " "
    return f"{name}{blank}{operator}{blank}{_literal(rng, rest[1])}"


def _cased(rng, word):
    return rng.choice([word, word.upper(), word.title()])


def _literal(rng, value):
    if isinstance(value, list):
        return f"[{', '.join(_literal(rng, one) for one in value)}]"
    if isinstance(value, str) and rng.random() < 0.3:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def truth(tree, row):
    """Evaluate an expression for one item: True, False or None."""
    operator, *rest = tree
    if operator in {"and", "or"}:
        truths = [truth(term, row) for term in rest]
        decided = operator == "or"
        if decided in truths:
            return decided
        return None if None in truths else not decided
    if operator == "not":
        found = truth(rest[0], row)
        return None if found is None else not found
    value = row[rest[0]]
    nothing = value is None or (isinstance(value, list) and set(value) == {None})
    if operator in {"null", "not null"}:
        return nothing == (operator == "null")
    return None if nothing else _compared(operator, value, rest[1])


def _compared(operator, value, wanted):
    if isinstance(value, list):
        found = bool(set(value) & set(wanted if isinstance(wanted, list) else [wanted]))
        if not found and None in value:
            return None
        return found != (operator == "not in")
    return {
        "==": lambda: value == wanted,
        "!=": lambda: value != wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
        "in": lambda: value in wanted,
        "not in": lambda: value not in wanted,
    }[operator]()
