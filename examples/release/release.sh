#!/bin/sh
# One release of a recommender, from interaction logs to an image: `release.sh STEP`, or `release.sh all`.
#
# Every step ends with the exit code of the command that failed, and nothing after it runs: the last release stays as
# it is until `record`, the very last step, names the new one. The settings are environment variables; what is unset or
# empty has the value given here.
set -eu

STEPS="train export verify compare build push record"

: "${DATA:=data}"                # the dataset: a folder with interactions.*, and dataset.toml for its columns
: "${WORK:=build/release}"       # what this release makes; must not exist when it begins
: "${RELEASES:=releases}"        # what was released: a folder for each version, and the name of the last in `current`
: "${SPEC:=}"                    # a model to train anew (JSON or TOML); without it one is searched for
: "${CHECKPOINT:=}"              # a model that was trained elsewhere; nothing is trained then
: "${SEARCH_FLAGS:=}"            # further words for `gnas-serve search`, such as --budget 20m
: "${PROFILE:=balanced}"         # how to export: exact, fast, balanced, small, or a .toml of your own
: "${EXPORT_FLAGS:=}"            # further words for `gnas-serve export`
: "${MIN_ANN_RECALL:=}"          # gates; the profile's own where they are unset
: "${MAX_NDCG_DROP:=}"
: "${MAX_ARTIFACT_BYTES:=}"
: "${MAX_LATENCY_US:=}"
: "${SIGN_KEY_PEM:=}"            # the private Ed25519 key itself, a secret; without it nothing is signed
: "${VERIFY_KEY:=}"              # file of the public key, out of the repository; needed where there is a private one
: "${REGISTRY:=}"                # where the image goes, such as ghcr.io/team; without it none is made
: "${IMAGE_FLAGS:=}"             # further words for `gnas-serve containerize`, such as --engine podman
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || true)}" # the commit's time, so that bytes repeat

if [ -n "$SOURCE_DATE_EPOCH" ]; then export SOURCE_DATE_EPOCH; else unset SOURCE_DATE_EPOCH; fi
checkpoint=${CHECKPOINT:-$WORK/checkpoint}
artifact=$WORK/artifact
reports=$WORK/reports
key=

say() {
    printf 'release: %s\n' "$*" >&2
}

refuse() { # CODE WHY...
    code=$1
    shift
    say "$@"
    exit "$code"
}

# What is interrupted (a machine that is taken away sends SIGTERM) keeps what is finished: once again, and it goes on.
resumably() {
    status=0
    "$@" || status=$?
    case $status in
        130 | 143)
            say "$2 was interrupted, exit $status: once again"
            status=0
            "$@" || status=$?
            ;;
    esac
    return "$status"
}

need_work() {
    if [ ! -d "$reports" ]; then refuse 2 "$reports is not there: a release begins with the step train"; fi
}

# One field of a JSON object that a command printed.
field() { # NAME FILE
    python3 -c 'import json, sys; print(json.load(open(sys.argv[2]))[sys.argv[1]])' "$1" "$2"
}

last_release() {
    if [ -f "$RELEASES/current" ]; then cat "$RELEASES/current"; fi
}

train() {
    if [ -e "$WORK" ]; then refuse 2 "$WORK is there already: remove it, so that nothing of an earlier run is released"; fi
    mkdir -p "$reports"
    if [ -n "$CHECKPOINT" ]; then
        say "$CHECKPOINT is given: nothing is trained"
        return
    fi
    gnas-serve data validate "$DATA"
    if [ -n "$SPEC" ]; then
        set -- --spec "$SPEC"
    else
        # shellcheck disable=SC2086 # words, not one word
        resumably gnas-serve search "$DATA" --out "$WORK/study" $SEARCH_FLAGS
        set -- --study "$WORK/study"
    fi
    gnas-serve train "$DATA" "$@" --out "$checkpoint" --output json >"$reports/train.json"
}

export_artifact() {
    set -- --profile "$PROFILE"
    if [ -n "$MIN_ANN_RECALL" ]; then set -- "$@" --min-ann-recall "$MIN_ANN_RECALL"; fi
    if [ -n "$MAX_NDCG_DROP" ]; then set -- "$@" --max-ndcg-drop "$MAX_NDCG_DROP"; fi
    if [ -n "$MAX_ARTIFACT_BYTES" ]; then set -- "$@" --max-artifact-bytes "$MAX_ARTIFACT_BYTES"; fi
    if [ -n "$MAX_LATENCY_US" ]; then set -- "$@" --max-latency-us "$MAX_LATENCY_US"; fi
    if [ -n "$SIGN_KEY_PEM" ]; then
        if [ -z "$VERIFY_KEY" ]; then refuse 2 "SIGN_KEY_PEM is set and VERIFY_KEY is not: nobody would check the signature"; fi
        key=$(mktemp)
        printf '%s\n' "$SIGN_KEY_PEM" >"$key"
        set -- "$@" --sign-key "$key"
    fi
    # shellcheck disable=SC2086 # words, not one word
    resumably gnas-serve export "$checkpoint" --out "$artifact" --offline \
        --report "$reports/report.json" --junit "$reports/gates.xml" "$@" $EXPORT_FLAGS
}

verify() {
    set -- "$artifact"
    if [ -n "$VERIFY_KEY" ]; then set -- "$@" --key "$VERIFY_KEY"; fi
    gnas-serve verify "$@" --output json >"$reports/verify.json"
    say "verified, signature $(field signature "$reports/verify.json")"
}

compare() {
    last=$(last_release)
    if [ -z "$last" ]; then
        say "nothing was released before: nothing to compare with"
        return
    fi
    gnas-serve diff "$RELEASES/$last" "$artifact" --output json >"$reports/diff.json"
    gnas-serve diff "$RELEASES/$last" "$artifact"
}

build() {
    gnas-serve build "$artifact" --output json >"$reports/bento.json"
    say "built $(field tag "$reports/bento.json")"
}

# The one step that leaves this machine: put the login to your registry before it, or replace it by your own.
push() {
    if [ -z "$REGISTRY" ]; then
        say "REGISTRY is not set: no image is made or pushed"
        return
    fi
    tag=$(field tag "$reports/bento.json")
    revision=$(git rev-parse HEAD 2>/dev/null || true)
    if [ -n "$revision" ]; then set -- --label "org.opencontainers.image.revision=$revision"; else set --; fi
    # shellcheck disable=SC2086 # words, not one word
    gnas-serve containerize "$tag" --image-tag "$REGISTRY/$tag" --output json "$@" $IMAGE_FLAGS >"$reports/image.json"
    "$(field engine "$reports/image.json")" push "$REGISTRY/$tag"
}

same_signature() { # ARTIFACT RELEASED
    if [ ! -f "$1/SHA256SUMS.sig" ]; then [ ! -f "$2/SHA256SUMS.sig" ]; else cmp -s "$1/SHA256SUMS.sig" "$2/SHA256SUMS.sig"; fi
}

# A new folder, and a name that is replaced in one go: who serves the last release never sees half of one.
record() {
    version=$(field version "$reports/verify.json")
    mkdir -p "$RELEASES"
    # The version says what is in it, not who signed it.
    if ! cmp -s "$artifact/SHA256SUMS" "$RELEASES/$version/SHA256SUMS" ||
        ! same_signature "$artifact" "$RELEASES/$version"; then
        rm -rf "$RELEASES/.new" "$RELEASES/.old"
        cp -Rp "$artifact" "$RELEASES/.new"
        if [ -d "$RELEASES/$version" ]; then mv "$RELEASES/$version" "$RELEASES/.old"; fi
        mv "$RELEASES/.new" "$RELEASES/$version"
        rm -rf "$RELEASES/.old"
    fi
    printf '%s\n' "$version" >"$RELEASES/.current"
    mv -f "$RELEASES/.current" "$RELEASES/current"
    say "released $version"
}

meaning() { # CODE
    case $1 in
        2) echo "usage or config" ;;
        3) echo "the data cannot be used" ;;
        4) echo "no viable trial" ;;
        5) echo "export or parity, see $reports/report.html, or the image" ;;
        6) echo "a quality gate failed, see $reports/report.html" ;;
        7) echo "the latency objective is missed, see $reports/report.html" ;;
        8) echo "a checkpoint or artifact is damaged, or not signed with the key that was asked for" ;;
        9) echo "something is not installed, or wanted the network" ;;
        10) echo "disk, port or permission" ;;
        130 | 143) echo "interrupted twice" ;;
        *) echo "a bug" ;;
    esac
}

leave() {
    status=$?
    if [ -n "$key" ]; then rm -f "$key"; fi
    if [ "$status" -ne 0 ]; then
        last=$(last_release)
        say "exit $status: $(meaning "$status"). Nothing is released; the last release stays: ${last:-none}"
    fi
    exit "$status"
}

trap 'exit 130' INT
trap 'exit 143' TERM
case ${1:-} in
    all)
        for step in $STEPS; do
            say "$step"
            sh "$0" "$step"
        done
        ;;
    train)
        trap leave EXIT
        train
        ;;
    export)
        trap leave EXIT
        need_work
        export_artifact
        ;;
    verify | compare | build | push | record)
        trap leave EXIT
        need_work
        "$1"
        ;;
    *) refuse 2 "expected one of: $STEPS all" ;;
esac
