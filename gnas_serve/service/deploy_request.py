"""What the admin call accepts: a change of what is served to whom."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from gnas_serve.service.deployment import NAME, Canary, Deployment, is_name
from gnas_serve.service.schemas import Request


def _artifact_name(text: str) -> str:
    if not is_name(text):
        raise PydanticCustomError(
            "artifact_name", "expected the name of an artifact's folder among the versions, no path"
        )
    return text


ArtifactName = Annotated[
    str, AfterValidator(_artifact_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})
]


class CanaryRequest(Request):
    """A version for a share of the users."""

    artifact: ArtifactName
    weight: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] = Field(description="The share of the users.")
    salt: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="Decides with a user's id who that is; that of the running canary when absent."
    )


class DeployRequest(Request):
    """A change of what is served to whom; fields that are absent stay as they are."""

    stable: ArtifactName | None = Field(None, description="The version that everybody else gets.")
    rollback: bool = Field(
        False,
        description="Whether a running canary is to end; without one, the version before is the stable one again.",
    )
    canary: CanaryRequest | None = Field(None, description="null ends it.")
    shadow: ArtifactName | None = Field(None, description="Asked beside the others, told to nobody; null ends it.")

    @model_validator(mode="after")
    def _check(self) -> DeployRequest:
        if not self.model_fields_set or (self.rollback and self.stable is not None):
            raise PydanticCustomError(
                "deployment", "give stable, rollback, canary or shadow, and not both of the first two"
            )
        return self

    def change(self, before: Deployment) -> Deployment:
        """Change a deployment.

        Raises
        ------
        RefusedArtifactError
            If there is no version to go back to, or one would be compared with itself.
        """
        after = before
        if self.rollback:
            after = after.rolled_back()
        elif self.stable is not None:
            after = after.switched(self.stable)
        if "canary" in self.model_fields_set:
            after = replace(after, canary=self._canary(before))
        if "shadow" in self.model_fields_set:
            after = replace(after, shadow=self.shadow)
        after.check()
        return after

    def _canary(self, before: Deployment) -> Canary | None:
        if self.canary is None:
            return None
        salt = self.canary.salt
        if salt is None:
            salt = before.canary.salt if before.canary is not None else secrets.token_hex(8)
        return Canary(self.canary.artifact, self.canary.weight, salt)
