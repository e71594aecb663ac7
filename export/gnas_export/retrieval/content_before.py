"""The content encoder of the model that a checkpoint was fine-tuned from, kept where too few users can judge one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError

AGAIN = "export the checkpoint that it was made of again, with --content-from of the artifact before it"
"""How a link of the chain is made up for, where an artifact of a fine-tuned checkpoint was exported without its own."""


def content_before(artifact: Path, checkpoint: Checkpoint) -> ContentFacts:
    """Read the encoder of an artifact that was made of the checkpoint before.

    Fine-tuning leaves the vectors as they are, of which the scores are made that an unseen item leans on: what was
    measured of the encoder still is of these, but for histories, counts and weights of a blend that are newer.

    Parameters
    ----------
    artifact
        Verified here; it has an encoder that was judged, or kept from one that was.
    checkpoint
        Fine-tuned.

    Raises
    ------
    ConfigError
        If the checkpoint was not fine-tuned, the artifact is of another one, or has no encoder.
    IntegrityError, FormatVersionError
        If the artifact is damaged, or of a newer format.
    """
    lineage = checkpoint.finetuned_from
    if lineage is None:
        raise ConfigError(
            "--content-from is for a fine-tuned checkpoint, this one was trained",
            hint="leave it out: the users of its own validation judge",
        )
    manifest = Manifest.read(artifact)
    provenance = manifest.provenance
    found = None if provenance is None else (manifest.name, provenance.hashes["data"], provenance.seeds["training"])
    if found != (lineage["name"], lineage["fingerprint"], checkpoint.seed):
        raise ConfigError(
            f"{artifact} was not made of the checkpoint that this one was fine-tuned from, {lineage['name']}",
            hint="give the artifact that was exported from it"
            + (f"; where that has no content encoder, {AGAIN} first" if lineage["times"] > 1 else ""),
        )
    if manifest.content is None:
        raise ConfigError(
            f"{artifact} has no content encoder: {manifest.no_content or 'its report says why'}",
            hint=f"{AGAIN}, and give what that makes; or leave --content-from out"
            if manifest.model.get("finetuned_from") is not None
            else "leave --content-from out",
        )
    return replace(manifest.content, kept_from=manifest.content.kept_from or manifest.version)
