#!/usr/bin/env bash
# Lints the CloudFormation templates, the Dockerfile and the example pipeline; fails on any finding.
#
#   bash tests/templates/lint.sh                 make what is missing, run every linter
#   bash tests/templates/lint.sh environments    only make what is missing
#
# The linters fight over versions of what they share, also with the service: each has an environment
# of its own in .tools/, made from a file of locked requirements. "cloudformation" (cfn-lint, moto) also
# serves the tests in this folder. Nothing here needs an account or, once made, a network.
# A locked file is made from the .in beside it, from the top of the repository:
#   uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
#       tests/templates/requirements-NAME.in -o tests/templates/requirements-NAME.txt
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# shellcheck source=tests/environment.sh
. tests/environment.sh

environments=(cloudformation checkov sam hadolint pipeline)
templates=(cloud-deploy-infra-template.yml local-dev-cloud-infra-template.yml)
nested=(infrastructure/*.yml)

# The linters believe they may call AWS; they must not find credentials, nor ask for any.
export AWS_ACCESS_KEY_ID=lint AWS_SECRET_ACCESS_KEY=lint AWS_DEFAULT_REGION=us-east-1
export AWS_EC2_METADATA_DISABLED=true SAM_CLI_TELEMETRY=0 CKV_SKIP_PACKAGE_UPDATE_CHECK=true
unset AWS_PROFILE

# ensure_tool NAME: .tools/NAME holds exactly what its file says, hashes checked; quick when it does.
ensure_tool() {
    local name=$1 file=tests/templates/requirements-$1.txt folder=.tools/$1 wanted
    wanted=$(sha256sum "$file")
    [ -f "$folder/.sha256" ] && [ "$(cat "$folder/.sha256")" = "$wanted" ] && return
    echo "Making $folder from $file ..." >&2
    rm -rf "$folder"
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --no-deps -r "$file"
    echo "$wanted" >"$folder/.sha256"
}

python=$(find_python)
making=()
for name in "${environments[@]}"; do
    ensure_tool "$name" &
    making+=($!)
done
for each in "${making[@]}"; do
    wait "$each"
done
[ "${1:-}" = environments ] && exit

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
running=()
failed=0

# lint PROGRAM ARGUMENT ...: runs beside the others; report prints its result.
lint() {
    local log="$logs/${#running[@]}"
    printf '%s\n' "$*" >"$log.command"
    "$@" >"$log" 2>&1 &
    running+=($!)
}

report() {
    local number
    for number in "${!running[@]}"; do
        if wait "${running[$number]}"; then
            printf 'ok      %s\n' "$(cat "$logs/$number.command")"
        else
            failed=1
            printf 'FAILED  %s\n' "$(cat "$logs/$number.command")"
            cat "$logs/$number"
        fi
    done
}

# switched_on TEMPLATE COPY: the template with its options on by default. Checkov looks at what the
# defaults create, and would never see the rest.
switched_on() {
    sed -e "s/^    Default: 'false'/    Default: 'true'/" \
        -e '/^  pMetricsCollector:/,/^    AllowedValues/ s/Default: none/Default: sidecar/' \
        -e '/^  pNatMode:/,/^    AllowedValues/ s/Default: one/Default: per-az/' \
        -e "/^  pAlarmTopicArn:/,/^    AllowedPattern/ s/Default: ''/Default: arn:aws:sns:us-east-1:123456789012:topic/" \
        -e '/^  pBackupDays:/,/^    MinValue/ s/Default: 0/Default: 90/' \
        -e "/^  pEnvironmentFileArn:/,/^    AllowedPattern/ s|Default: ''|Default: arn:aws:s3:::files/agent.env|" \
        -e "/^  pSecretsArn:/,/^    AllowedPattern/ s/Default: ''/Default: arn:aws:secretsmanager:us-east-1:123456789012:secret:more-AbCdEf/" \
        -e "/^  pEventBusArns:/,/^    AllowedPattern/ s|Default: ''|Default: arn:aws:events:us-east-1:123456789012:event-bus/calls|" \
        -e "/^  pEventTopicArns:/,/^    AllowedPattern/ s/Default: ''/Default: arn:aws:sns:us-east-1:123456789012:calls.fifo/" \
        -e "/^  pSecretNames:/,/^    AllowedPattern/ s/Default: ''/Default: SENDGRID_API_KEY/" \
        "$1" >"$2"
}

scanned=("${nested[@]}")
for template in "${templates[@]}"; do
    switched_on "$template" ".tools/switched-on-$template"
    scanned+=("$template" ".tools/switched-on-$template")
done

lint .tools/checkov/bin/checkov --skip-download --framework cloudformation --compact --quiet \
    --file "${scanned[@]}"
lint .tools/checkov/bin/checkov --skip-download --framework dockerfile --compact --quiet \
    --file Dockerfile
lint .tools/hadolint/bin/hadolint Dockerfile
lint .tools/pipeline/bin/zizmor --quiet --offline examples/pipeline/*.yml
lint .tools/cloudformation/bin/cfn-lint --include-checks I -- "${templates[@]}" "${nested[@]}"
for template in "${templates[@]}"; do
    lint .tools/sam/bin/sam validate --lint --template-file "$template"
done
report
exit "$failed"
