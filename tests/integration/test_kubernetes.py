"""The manifests of `examples/kubernetes`: valid, of one piece, and of settings that the service takes."""

from __future__ import annotations

import math
import shutil
import subprocess
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_manifests import EXAMPLE, SERVICE_MONITOR, Manifest, built, documents, key, settings
from tiny_artifact import write_tiny_artifact

from gnas_serve.container.containerfile import HOME, PORTS, SCRATCH, USER, VARIABLES
from gnas_serve.service.settings import Settings

# The oldest with `preStop.sleep`, and the newest known.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
FORMS = {"Deployment": built(feedback=False), "StatefulSet": built(feedback=True)}


@pytest.fixture(params=FORMS)
def manifests(request: pytest.FixtureRequest) -> dict[tuple[str, str], Manifest]:
    return deepcopy(FORMS[request.param])


def validate(manifest: Manifest) -> None:
    if manifest["kind"] == "ServiceMonitor":
        jsonschema.validate(manifest, SERVICE_MONITOR)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def workload(manifests: dict[tuple[str, str], Manifest]) -> Manifest:
    (found,) = [one for one in manifests.values() if one["kind"] in FORMS]
    return found


def pod(manifests: dict[tuple[str, str], Manifest]) -> Manifest:
    return workload(manifests)["spec"]["template"]  # type: ignore[no-any-return]


def container(manifests: dict[tuple[str, str], Manifest]) -> Manifest:
    (found,) = pod(manifests)["spec"]["containers"]
    return found  # type: ignore[no-any-return]


def variables(manifests: dict[tuple[str, str], Manifest]) -> dict[str, str]:
    """Put together what a pod's environment has: what the image says, the settings, and what the pod says."""
    given = dict(VARIABLES)
    for source in container(manifests)["envFrom"]:
        given |= manifests["ConfigMap", source["configMapRef"]["name"]]["data"]
    return given | {one["name"]: one["value"] for one in container(manifests).get("env", [])}


def test_every_manifest_is_valid(manifests: dict[tuple[str, str], Manifest]) -> None:
    for manifest in manifests.values():
        validate(manifest)
    kinds = {kind for kind, _ in manifests}
    assert kinds >= {"ConfigMap", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ["spec", "template", "spec", "terminationGracePeriod"]),
        ("Deployment", ["spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRoot"]),
        ("HorizontalPodAutoscaler", ["spec", "maxReplica"]),
        ("PodDisruptionBudget", ["spec", "maxUnavailables"]),
        ("NetworkPolicy", ["spec", "egres"]),
        ("ServiceMonitor", ["spec", "endpoints", 0, "scrape"]),
    ],
)
def test_a_misspelt_field_is_found(kind: str, path: list[Any]) -> None:
    manifest = deepcopy(FORMS["Deployment"][kind, "gnas-serve"])
    place: Any = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = 1
    with pytest.raises(jsonschema.ValidationError, match=path[-1]):
        validate(manifest)


def test_every_file_of_the_folder_is_applied() -> None:
    for folder in (EXAMPLE, EXAMPLE / "feedback"):
        (listed,) = documents(folder / "kustomization.yaml")
        assert {path.name for path in folder.glob("*.yaml")} == {*listed["resources"], "kustomization.yaml"}


def test_the_settings_are_ones_that_the_service_takes(
    manifests: dict[tuple[str, str], Manifest], tmp_path: Path
) -> None:
    given = {name: value for name, value in variables(manifests).items() if name.startswith("GNAS_")}
    known = {f"GNAS_{field.name.upper()}" for field in fields(Settings)}
    assert set(given) <= known
    artifact = write_tiny_artifact(tmp_path / "artifact")
    read = Settings.from_environment({**given, "GNAS_ARTIFACT": str(artifact)})
    assert read.workers == 1
    mounts = [Path(one["mountPath"]) for one in container(manifests)["volumeMounts"]]
    for name in ("api_keys", "feedback"):
        path = getattr(read, name)
        assert path is None or any(mount in path.parents for mount in mounts)
    assert (read.feedback is None) == (workload(manifests)["kind"] == "Deployment")


def test_ports_are_those_of_the_doors(manifests: dict[tuple[str, str], Manifest]) -> None:
    given = variables(manifests)
    ports = {one["name"]: one["containerPort"] for one in container(manifests)["ports"]}
    assert ports == {"http": int(given["BENTOML_PORT"]), "grpc": int(given["GNAS_GRPC_PORT"])}
    assert ports == dict(zip(("http", "grpc"), PORTS, strict=True))
    for kind, name in manifests:
        if kind == "Service":
            for one in manifests[kind, name]["spec"]["ports"]:
                assert (one["port"], one["name"]) == (ports[one["targetPort"]], one["targetPort"])
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container(manifests)[probe]["httpGet"] == {"path": path, "port": "http"}
    for rule in manifests["NetworkPolicy", "gnas-serve"]["spec"]["ingress"]:
        assert {one["port"] for one in rule["ports"]} <= set(ports)
    annotations = pod(manifests)["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(PORTS[0])
    service = manifests["Service", "gnas-serve"]["spec"]["ports"]
    for endpoint in manifests["ServiceMonitor", "gnas-serve"]["spec"]["endpoints"]:
        assert endpoint["port"] in {one["name"] for one in service}
        assert endpoint["path"] == annotations["prometheus.io/path"] == "/metrics"


def test_selectors_find_the_pods(manifests: dict[tuple[str, str], Manifest]) -> None:
    labels = pod(manifests)["metadata"]["labels"].items()
    own = workload(manifests)["spec"]
    (spread,) = pod(manifests)["spec"]["topologySpreadConstraints"]
    selectors = [own["selector"]["matchLabels"], spread["labelSelector"]["matchLabels"]]
    selectors += [manifests["PodDisruptionBudget", "gnas-serve"]["spec"]["selector"]["matchLabels"]]
    selectors += [manifests["NetworkPolicy", "gnas-serve"]["spec"]["podSelector"]["matchLabels"]]
    services = [one for one in manifests.values() if one["kind"] == "Service"]
    selectors += [one["spec"]["selector"] for one in services]
    for selector in selectors:
        assert selector.items() <= labels
    wanted = manifests["ServiceMonitor", "gnas-serve"]["spec"]["selector"]["matchLabels"].items()
    assert [one["metadata"]["name"] for one in services if wanted <= one["metadata"]["labels"].items()] == [
        "gnas-serve"
    ]
    target = manifests["HorizontalPodAutoscaler", "gnas-serve"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == key(workload(manifests))
    if "serviceName" in own:
        assert manifests["Service", own["serviceName"]]["spec"]["clusterIP"] == "None"


def test_a_pod_may_write_where_it_has_to_and_nowhere_else(manifests: dict[tuple[str, str], Manifest]) -> None:
    spec, own = pod(manifests)["spec"], container(manifests)
    user = spec["securityContext"]
    assert user["runAsNonRoot"]
    assert user["runAsUser"] == user["runAsGroup"] == user["fsGroup"] == USER
    assert own["securityContext"]["readOnlyRootFilesystem"]
    assert not own["securityContext"]["allowPrivilegeEscalation"]
    assert own["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {one["name"]: one for one in spec["volumes"]}
    claims = {one["metadata"]["name"]: one for one in workload(manifests)["spec"].get("volumeClaimTemplates", [])}
    mounts = {one["name"]: one for one in own["volumeMounts"]}
    assert set(mounts) == set(volumes) | set(claims)
    assert [mounts[name]["mountPath"] for name in volumes if "emptyDir" in volumes[name]] == [SCRATCH]
    assert Path(SCRATCH) in Path(variables(manifests)["BENTOML_HOME"]).parents
    assert all(mounts[name]["readOnly"] for name in volumes if "secret" in volumes[name])
    # One log, one replica: a claim of its own, that no second pod may take meanwhile.
    assert all(claim["spec"]["accessModes"] == ["ReadWriteOncePod"] for claim in claims.values())
    # A volume there would hide what is served.
    assert not any(Path(mount["mountPath"]) in (Path(HOME), *Path(HOME).parents) for mount in mounts.values())


def test_a_pod_is_given_the_time_to_drain(manifests: dict[tuple[str, str], Manifest]) -> None:
    own = container(manifests)
    needed = own["lifecycle"]["preStop"]["sleep"]["seconds"] + math.ceil(float(variables(manifests)["GNAS_DRAIN_S"]))
    assert pod(manifests)["spec"]["terminationGracePeriodSeconds"] >= needed + 5
    limits = own["startupProbe"]
    assert limits["periodSeconds"] * limits["failureThreshold"] >= 120


def test_both_forms_are_of_the_same_pods() -> None:
    with_log = container(deepcopy(FORMS["StatefulSet"]))
    plain = container(deepcopy(FORMS["Deployment"]))
    assert [one["name"] for one in with_log.pop("env")] == ["GNAS_FEEDBACK"]
    with_log["volumeMounts"] = [one for one in with_log["volumeMounts"] if one["name"] != "feedback"]
    assert with_log == plain
    one, other = (deepcopy(pod(form)) for form in FORMS.values())
    for template in (one, other):
        template["spec"].pop("containers")
    assert one == other


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("feedback", [False, True])
def test_kubectl_puts_the_same_together(tmp_path: Path, feedback: bool) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(EXAMPLE, folder)
    if feedback:
        path = folder / "kustomization.yaml"
        marked = "# components:\n#   - feedback\n"
        assert path.read_text().count(marked) == 1
        path.write_text(path.read_text().replace(marked, "components:\n  - feedback\n"))
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given = list(yaml.safe_load_all(done.stdout))
    # The generated map's name ends with a hash of its content.
    names = {(kind, name.rpartition("-")[0] if kind == "ConfigMap" else name) for kind, name in map(key, given)}
    ours = built(feedback=feedback)
    assert names == set(ours)
    for manifest in given:
        if manifest["kind"] == "ConfigMap":
            assert manifest["data"] == settings()
        elif manifest["kind"] == "HorizontalPodAutoscaler":
            assert manifest["spec"] == ours[key(manifest)]["spec"]
