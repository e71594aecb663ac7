"""The models of one worker: loaded beside those that are served, and told feedback for as long as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gnas_serve.service.deployment import Deployment, DeploymentFile
from gnas_serve.service.errors import RefusedArtifactError
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.one_artifact import load_another
from gnas_serve.service.variants import Variants

if TYPE_CHECKING:
    from gnas_serve.runtime.recommender import Recommender

Loaded = dict[str, "Recommender"]
"""Models by the names of their versions."""


class ServedModels:
    """The models of what a deployment names.

    Parameters
    ----------
    deployment
        What is served at first.
    file
        Knows where the versions are.
    provider
        What rankers compute on.

    Attributes
    ----------
    deployment
        What is served.
    variants
        The same, as calls choose among it; replaced whole.

    Raises
    ------
    ConfigError, IntegrityError, FormatVersionError
        If an artifact cannot be used.
    """

    def __init__(self, deployment: Deployment, file: DeploymentFile, provider: str) -> None:
        self._file = file
        self._provider = provider
        self._feedback: Feedback | None = None
        self._loaded: Loaded = {}
        loaded: Loaded = {}
        self.load(deployment, loaded)
        self._take(deployment, loaded)

    def open(self, feedback: Feedback | None) -> None:
        """Say who is told of models that come and go; of those that are there by now it knows."""
        self._feedback = feedback

    @property
    def recommenders(self) -> list[Recommender]:
        """All that are served, the stable one first."""
        stable = self._loaded[self.deployment.stable]
        return [stable, *(one for one in self._loaded.values() if one is not stable)]

    @contextmanager
    def loading(self) -> Iterator[Loaded]:
        """Give a place for what is loaded; feedback is no longer told to what is not served in the end."""
        loaded: Loaded = {}
        try:
            yield loaded
        finally:
            if self._feedback is not None:
                served = self.recommenders
                for recommender in loaded.values():
                    if recommender not in served:
                        self._feedback.detach(recommender)

    def load(self, deployment: Deployment, loaded: Loaded, *, again: bool = False) -> None:
        """Load what is not loaded yet, each verified and asked; nothing changes where one fails or is of other data.

        Parameters
        ----------
        loaded
            Is filled, with what is loaded already as well.
        again
            Load also what is loaded from a folder that holds another artifact by now.
        """
        for name in sorted(deployment.artifacts):
            present = self._loaded.get(name)
            if present is None or again:
                loaded[name] = load_another(self._file.path_of(name), present, self._provider)
                if self._loaded:
                    _check_ids(name, loaded[name], self.recommenders[0])
            else:
                loaded[name] = present
        if self._feedback is not None:
            for name, recommender in loaded.items():
                if recommender is not self._loaded.get(name):
                    self._feedback.attach(recommender)

    def are(self, loaded: Loaded) -> bool:
        """Tell whether what was loaded is what is served, model by model."""
        return loaded == self._loaded

    def serve(self, deployment: Deployment, loaded: Loaded) -> Variants:
        """Serve what was loaded from now on, and let go of what is served no more."""
        gone = [one for name, one in self._loaded.items() if loaded.get(name) is not one]
        self._take(deployment, loaded)
        if self._feedback is not None:
            self._feedback.usual(self.recommenders[0])
            for recommender in gone:
                self._feedback.detach(recommender)
        return self.variants

    def _take(self, deployment: Deployment, loaded: Loaded) -> None:
        self.deployment, self._loaded = deployment, loaded
        canary = deployment.canary
        self.variants = Variants.of(
            loaded[deployment.stable],
            None if canary is None else loaded[canary.artifact],
            weight=0.0 if canary is None else canary.weight,
            salt="" if canary is None else canary.salt,
            shadow=None if deployment.shadow is None else loaded[deployment.shadow],
        )


def _check_ids(name: str, recommender: Recommender, stable: Recommender) -> None:
    """Refuse a model whose ids are of another type: callers would get, for users unknown to it, what is no item."""
    for what, own, others in (
        ("item", recommender.items, stable.items),
        ("user", recommender.users, stable.users),
    ):
        if own.is_text != others.is_text:
            here, there = ("text" if one.is_text else "integers" for one in (own, others))
            raise RefusedArtifactError(
                f"the {what} ids of {name!r} are {here}, and {there} in the version that is served: of other data?",
                hint="where that is meant, stop the server, remove .deployment and start with this version",
                code="other_ids",
            )
