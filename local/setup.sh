#!/usr/bin/env bash
# Brings a fresh clone to the point where every make target runs. Asks nothing; a second run only compares stamps.
#
# Everything goes inside the tree: .venv (the project), .tools (uv, sam, checkov, ministack, DynamoDB Local,
# Stripe's types), .run (log).
# Only Debian packages go outside, and only when root; without root it lists what is missing and ends with 1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
log=$root/.run/setup.log
mkdir -p .run .tools

exec 9>.run/setup.lock
flock 9 # two runs at once in one clone would build the same environment twice

# A caller's own settings must not change what is installed, or where.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME CONDA_PREFIX
export UV_PYTHON_INSTALL_DIR=$root/.tools/python UV_NO_PROGRESS=1 UV_LINK_MODE=copy
export PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive

fail() {
    printf '\nsetup: %s\n' "$*" >&2
    exit 1
}

milliseconds() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# step NAME COMMAND...: one line with the time it took; its output goes to the log. A failure adds $hint.
hint=
step() {
    local name=$1 start status=0
    shift
    start=$(milliseconds)
    printf '  %-46s' "$name"
    set +e # not "|| status=$?": that would switch errexit off inside the step too
    (
        set -e
        printf '\n== %s\n' "$name"
        "$@"
    ) >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    if ((status != 0)); then
        printf 'failed\n\n'
        tail -n 15 "$log"
        fail "$name failed; the whole log is in .run/setup.log${hint:+$'\n'"       $hint"}"
    fi
    awk -v ms=$(($(milliseconds) - start)) 'BEGIN { printf "%6.1f s\n", ms / 1000 }'
}

# The stamp of a folder is written last, inside it: deleting the folder deletes the stamp too.
fingerprint() { { printf '%s\n' "$root" && cat "$@"; } | sha256sum | cut -d ' ' -f 1; }
is_current() { [[ -f $1/.stamp && $(<"$1/.stamp") == "$2" ]]; }

# ---------------------------------------------------------------- programs that only the system can give

on_path() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null 2>&1; }

has_java_17() {
    local version
    version=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p') || return 1
    [[ -n $version && $version -ge 17 ]]
}

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || on_path initdb; }

# Any Python that can make an environment serves to fetch uv; a pyenv shim may be on the path and not run.
bootstrap_python() {
    local candidate
    for candidate in "$@" python3 /usr/bin/python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

install_debian_packages() {
    # Without this the packages' own daemons would start, and take the well-known ports.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        # shellcheck disable=SC2064 # the path is wanted as it is now
        trap "rm -f '$policy'" EXIT
    fi
    apt-get update -o DPkg::Lock::Timeout=600
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "$@"
}

system_programs() {
    local -a packages=() reasons=()
    need() { packages+=("$1") && reasons+=("$(printf '  %-28s %s' "$1" "$2")"); }

    on_path make || need make "builds the Lambda layers"
    on_path mosquitto || need mosquitto "the MQTT broker that the agent measures"
    has_postgres || need postgresql "the database that the agent measures"
    has_java_17 || need openjdk-17-jre-headless "runs AWS's DynamoDB Local (Java 17 or newer)"
    bootstrap_python "$@" >/dev/null || need python3-venv "fetches uv"
    ((${#packages[@]} == 0)) && return

    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
        step "Debian: ${packages[*]}" install_debian_packages "${packages[@]}"
        return
    fi
    {
        printf '\nsetup: these programs are missing on this machine (named as Debian packages):\n\n'
        printf '%s\n' "${reasons[@]}"
        printf '\nGet them with:\n\n  sudo apt-get update && sudo apt-get install --no-install-recommends %s\n\n' "${packages[*]}"
        printf 'or run this once as root. On another system install the same programs by its own means.\n'
    } >&2
    exit 1
}

# ---------------------------------------------------------------- Python 3.13 and the environments

# Prints the real interpreter, never a shim: a shim answers only inside the tree.
installed_python_313() {
    local candidate
    local -a candidates
    mapfile -t candidates < <(
        compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.13*/bin/python3.13"
        type -ap python3.13
        compgen -G "$UV_PYTHON_INSTALL_DIR/cpython-3.13*/bin/python3.13"
    )
    for candidate in "${candidates[@]}"; do
        "$candidate" -c 'import ensurepip, sys, venv; assert sys.version_info[:2] == (3, 13); print(sys.executable)' \
            2>/dev/null && return
    done
    return 1
}

make_uv() {
    rm -rf .tools/uv
    "$1" -m venv .tools/uv
    .tools/uv/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt
    echo "$2" >.tools/uv/.stamp
}

# environment FOLDER STAMP REQUIREMENTS [VENV OPTION...]
environment() {
    local folder=$1 stamp=$2 requirements=$3
    shift 3
    rm -f "$folder/.stamp"
    # One that runs is brought up to date in place, since something may be running from it. One that moved with
    # its tree is made anew: its programs name the interpreter by its old path.
    if ! grep -qF "$root/$folder" "$folder/bin/activate" ||
        ! "$folder/bin/python" -c 'import sys; assert sys.version_info[:2] == (3, 13)'; then
        .tools/uv/bin/uv venv --clear --python "$python" "$@" "$folder"
    fi
    if [[ $folder == .venv ]]; then
        # Exact, so that a package dropped from the list cannot stay and hide an import of it.
        .tools/uv/bin/uv pip install --python "$folder/bin/python" --exact --require-hashes -r "$requirements"
        .tools/uv/bin/uv pip install --python "$folder/bin/python" --no-deps --no-build-isolation -e .
    else
        .tools/uv/bin/uv pip install --python "$folder/bin/python" --require-hashes -r "$requirements"
    fi
    echo "$stamp" >"$folder/.stamp"
}

# ---------------------------------------------------------------- DynamoDB Local, Stripe's published types

node_20() { node -e 'process.exit(parseInt(process.versions.node) < 20)' && npm --version; }

npm_packages() {
    local path=$PATH
    rm -rf .tools/npm
    mkdir -p .tools/npm
    cp local/npm/package.json local/npm/package-lock.json .tools/npm/
    if ! node_20; then
        .tools/uv/bin/uv venv --clear --python "$python" .tools/node
        .tools/uv/bin/uv pip install --python .tools/node/bin/python --require-hashes -r requirements/node.txt
        path=$root/.tools/node/bin:$PATH
    fi
    # The lock file names these two alone; nothing they want beside them, and none of their scripts, is needed.
    (cd .tools/npm && PATH=$path npm ci --ignore-scripts --no-audit --no-fund)
    [[ -f .tools/npm/node_modules/amplify-dynamodb-simulator/emulator/DynamoDBLocal.jar ]]
    [[ -f .tools/npm/node_modules/stripe/esm/apiVersion.d.ts ]]
    echo "$1" >.tools/npm/.stamp
}

# ---------------------------------------------------------------- in order

uv_stamp=$(fingerprint requirements/uv.txt)
venv_stamp=$(fingerprint requirements/dev.txt pyproject.toml)
ministack_stamp=$(fingerprint requirements/ministack.txt)
sam_stamp=$(fingerprint requirements/sam.txt)
checkov_stamp=$(fingerprint requirements/checkov.txt)
npm_stamp=$(fingerprint local/npm/package.json local/npm/package-lock.json requirements/node.txt)

started=$(milliseconds)
system_programs "$root/.tools/uv/bin/python"

if ! { is_current .tools/uv "$uv_stamp" && is_current .venv "$venv_stamp" && is_current .tools/sam "$sam_stamp" &&
    is_current .tools/checkov "$checkov_stamp" && is_current .tools/ministack "$ministack_stamp" && is_current .tools/npm "$npm_stamp" &&
    .venv/bin/python -c ''; }; then
    echo "Setting up $root (log: .run/setup.log)"
    : >"$log"
    python=$(installed_python_313) || python=

    is_current .tools/uv "$uv_stamp" ||
        step "uv" make_uv "$(bootstrap_python ${python:+"$python"})" "$uv_stamp"
    if [[ -z $python ]]; then
        hint="There is no Python 3.13 on this machine, and downloading one needs the network. Install it by
       other means (pyenv install 3.13, or a package of your system) so that python3.13 is on the path."
        step "Python 3.13 (download)" .tools/uv/bin/uv python install 3.13
        hint=
        python=$(installed_python_313) || fail "uv installed a Python 3.13 that does not run"
    fi
    # Whatever of an environment points at an interpreter that has gone is made anew.
    .venv/bin/python -c '' 2>/dev/null || rm -f .venv/.stamp

    is_current .venv "$venv_stamp" ||
        step ".venv: the project and its checks" environment .venv "$venv_stamp" requirements/dev.txt
    is_current .tools/sam "$sam_stamp" ||
        step "sam: builds and deploys" environment .tools/sam "$sam_stamp" requirements/sam.txt
    is_current .tools/checkov "$checkov_stamp" ||
        step "checkov: reads the template" environment .tools/checkov "$checkov_stamp" requirements/checkov.txt
    is_current .tools/ministack "$ministack_stamp" ||
        step "ministack: AWS on this machine" \
            environment .tools/ministack "$ministack_stamp" requirements/ministack.txt --seed
    is_current .tools/npm "$npm_stamp" ||
        step "DynamoDB Local, Stripe's types" npm_packages "$npm_stamp"
fi
awk -v ms=$(($(milliseconds) - started)) 'BEGIN { printf "Set-up is complete (%.1f s).\n", ms / 1000 }'
