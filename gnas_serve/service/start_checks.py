"""What would end every worker at its start, looked at before there is one: these would say it in their log alone."""

from __future__ import annotations

from pathlib import Path

from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import ConfigError
from gnas_serve.feedback.writer import check_folder
from gnas_serve.service.access_log import AccessLog
from gnas_serve.service.admission import Admission
from gnas_serve.service.deployment import STATE, DeploymentFile
from gnas_serve.service.errors import ArtifactNotFoundError
from gnas_serve.service.provider_check import check_provider
from gnas_serve.service.settings import Settings
from gnas_serve.service.tls import server_credentials
from gnas_serve.service.tracing import check_exporter


def check_start(settings: Settings) -> None:
    """Open what the settings name, but for the artifact that the command line names.

    Raises
    ------
    ConfigError
        If a file cannot be used, or the deployment names what there is not.
    StorageError
        If the folder of the versions or of feedback cannot be used.
    IntegrityError, FormatVersionError
        If an artifact of the deployment is damaged, or of a newer format.
    MissingExtraError, ProviderError
        If what they ask for is not here.
    """
    Admission.of(settings)
    server_credentials(settings)
    AccessLog.of(settings)
    check_exporter(settings)
    check_provider(settings.provider)
    if settings.versions is not None:
        _check_deployment(DeploymentFile(settings.versions), settings.artifact)
    if settings.feedback is not None:
        check_folder(settings.feedback)


def _check_deployment(file: DeploymentFile, artifact: Path) -> None:
    if not file.folder.is_dir():
        raise ConfigError(
            f"GNAS_VERSIONS={file.folder}: there is no such folder",
            hint="name the one that holds the artifact's folder",
        )
    for name in sorted(file.open(artifact).artifacts):
        try:
            Manifest.read(file.path_of(name))
        except ArtifactNotFoundError as error:
            raise ConfigError(
                f"{file.folder}: what is to be served there ({STATE}) names {name!r}, and there is no such artifact",
                hint=f"put its folder back; or remove {file.folder / STATE}, to begin with the artifact that is named",
            ) from error
