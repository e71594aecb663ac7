"""RankerPlan: which networks and numbers the learned ranker of an export may be of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gnas_serve.errors import unknown_name

PRECISIONS = ("auto", "fp32", "fp16", "int8")
WAYS = ("auto", "always", "never")
TEACHERS = ("mlp", "attention", "auto")


@dataclass(frozen=True)
class RankerPlan:
    """The learned ranker that an artifact may hold.

    Attributes
    ----------
    use
        ``"auto"``: where it beats plain retrieval; ``"never"``.
    hidden
        Widths of the two hidden layers of the first that may ship, the teacher.
    teacher
        Whom that one and its students follow beside the labels: ``"mlp"``: nobody, and itself; ``"attention"``: a
        network that attends to the histories and cannot ship; ``"auto"``: that one where it is better.
    students
        Widths of those that learn from it; only what is narrower than it.
    keep
        The part of their hidden units that pruned ones are left with.
    distil, prune
        ``"auto"``: students and pruned networks are tried and ship where they are good enough; ``"always"``: nothing
        else ships; ``"never"``.
    precision
        ``"auto"`` (the measured choice), ``"fp32"``, ``"fp16"`` or ``"int8"``.
    """

    use: str = "auto"
    hidden: tuple[int, int] = (128, 64)
    teacher: str = "mlp"
    students: tuple[tuple[int, int], ...] = ((32, 16), (16, 16))
    keep: float = 0.5
    distil: str = "auto"
    prune: str = "auto"
    precision: str = "auto"

    def forced(
        self, *, precision: str | None, distil: str | None, prune: str | None, teacher: str | None = None
    ) -> RankerPlan:
        """Give the same plan with what a command insists on.

        Raises
        ------
        ConfigError
            If there is no such choice.
        """
        for name, choice, known in (
            ("precision", precision, PRECISIONS),
            ("distil", distil, WAYS),
            ("prune", prune, WAYS),
            ("teacher", teacher, TEACHERS),
        ):
            if choice is not None and choice not in known:
                raise unknown_name(f"choice of --{name}", choice, known)
        return replace(
            self,
            precision=precision or self.precision,
            distil=distil or self.distil,
            prune=prune or self.prune,
            teacher=teacher or self.teacher,
        )
