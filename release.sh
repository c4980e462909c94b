#!/usr/bin/env bash
# Brings an image to the callers of a stack: first to a canary, one task beside the service, and then to all
# tasks. A call, made by `agent probe`, decides after each step; where it fails, the step is undone.
#
# Every command that changes something is printed before it runs. The canary is made with the template that
# is deployed, so nothing of the service changes; promote deploys the template of this checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

help() {
    cat <<'HELP'
Usage: ./release.sh COMMAND --stack NAME --region REGION [OPTION ...]

  canary     start the canary with TAG and call it; with --share, let it take calls for --minutes and
             call it again. If anything fails the canary is removed, and the exit status is 1
  promote    deploy TAG to all tasks, remove the canary and call the service. If the call fails, the
             image of before is deployed again, and the exit status is 1
  remove     remove the canary

  --tag TAG         of the image, or its digest; for canary and promote
  --share CALLS     new calls for the canary, for each 100 of the service, 1 to 100; 0: only the probe
  --minutes N       how long it takes them; 10
  --help            this

TWILIO_AUTH_TOKEN and TWILIO_ACCOUNT_SID are those of the service, for the probe. docs/deploy/upgrade.md
has what the canary needs: a host name of its own, pCanaryWSSEndpoint.
HELP
}

fail() {
    printf 'release.sh: %s\n' "$*" >&2
    exit 2
}

command=${1:-}
case $command in
canary | promote | remove) shift ;;
--help | -h)
    help
    exit
    ;;
*) fail "give canary, promote or remove (see --help)" ;;
esac
stack='' region='' tag='' share=0 minutes=10
while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
    case $1 in
    --stack | --region | --tag | --share | --minutes) [ -n "${2:-}" ] || fail "$1 needs a value" ;;
    esac
    case $1 in
    --stack) stack=$2 ;;
    --region) region=$2 ;;
    --tag) tag=$2 ;;
    --share) share=$2 ;;
    --minutes) minutes=$2 ;;
    *) fail "unknown option $1 (see --help)" ;;
    esac
    shift 2
done
[ -n "$stack" ] && [ -n "$region" ] || fail "give --stack and --region"
[ "$command" = remove ] || [ -n "$tag" ] || fail "give --tag"
[ "$tag" != latest ] || fail "--tag must not be latest: a tag that moves cannot be deployed nor rolled back"
[[ $share =~ ^([0-9]|[1-9][0-9]|100)$ ]] || fail "--share must be 0 to 100: $share"
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || fail "--minutes must be 1 to 9999: $minutes"
[ "$command" = remove ] || [ -n "${TWILIO_AUTH_TOKEN:-}" ] ||
    fail "TWILIO_AUTH_TOKEN is not set: the probe signs with it"
export AWS_PAGER=

run() {
    printf '+ %s\n' "$*"
    "$@"
}

# described QUERY: of the stack, as text.
described() {
    aws cloudformation describe-stacks --stack-name "$stack" --region "$region" --query "Stacks[0].$1" --output text
}

parameter() { described "Parameters[?ParameterKey=='$1']|[0].ParameterValue"; }
output() { described "Outputs[?OutputKey=='$1']|[0].OutputValue"; }

# change NAME=VALUE ...: the deployed template with these parameters; all others keep their values.
change() {
    local key each value said parameters=()
    for key in $(described 'Parameters[].ParameterKey'); do
        value=UsePreviousValue=true
        for each; do
            [ "${each%%=*}" != "$key" ] || value=ParameterValue=${each#*=}
        done
        parameters+=("ParameterKey=$key,$value")
    done
    printf '+ the deployed template with %s\n' "$*"
    if ! said=$(aws cloudformation update-stack --stack-name "$stack" --region "$region" \
        --use-previous-template --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND \
        --parameters "${parameters[@]}" 2>&1); then
        [[ $said != *"No updates are to be performed"* ]] || return 0
        printf '%s\n' "$said" >&2
        return 1
    fi
    run aws cloudformation wait stack-update-complete --stack-name "$stack" --region "$region"
}

# probe URL: a call, up to three times: a task that has just started answers its first call more slowly.
probe() {
    local try
    for try in 1 2 3; do
        [ "$try" = 1 ] || sleep 20
        run python -m agent probe "$1" --public-url "$production" && return
    done
    return 1
}

# keep TAG: gives the image a second tag, by which the rules of its repository keep it for good.
keep() {
    local id=imageTag both said at
    case $1 in sha256:*) id=imageDigest ;; esac
    at=(--registry-id "${registry%%.*}" --region "$(cut -d . -f 4 <<<"$registry")" --repository-name "$image")
    both=$(aws ecr batch-get-image "${at[@]}" --image-ids "$id=$1" \
        --query 'images[0].[imageManifestMediaType,imageManifest]' --output text)
    printf '+ tag %s as deployed-%s\n' "$1" "${1#sha256:}"
    said=$(aws ecr put-image "${at[@]}" --image-tag "deployed-${1#sha256:}" \
        --image-manifest-media-type "${both%%$'\t'*}" --image-manifest "${both#*$'\t'}" 2>&1) ||
        [[ $said == *AlreadyExistsException* ]] || {
        printf '%s\n' "$said" >&2
        return 1
    }
}

# watch: whether the canary's alarm stays quiet while it takes calls.
watch() {
    local minute alarm state
    alarm=$(output CanaryAlarm)
    for ((minute = 1; minute <= minutes; minute++)); do
        sleep 60
        state=$(aws cloudwatch describe-alarms --alarm-names "$alarm" --region "$region" \
            --query 'MetricAlarms[0].StateValue' --output text) || return 1
        printf '# minute %s of %s: %s\n' "$minute" "$minutes" "$state"
        [ "$state" = OK ] || [ "$state" = INSUFFICIENT_DATA ] || return 1
    done
}

try_canary() {
    change "pCanaryImageTag=$tag" pCanaryShare=0 || return
    canary=$(output CanaryUrl) || return
    probe "$canary" || return
    [ "$share" != 0 ] || return 0
    change "pCanaryShare=$share" && watch && probe "$canary"
}

remove() {
    change pCanaryImageTag= pCanaryShare=0
}

case $command in
canary)
    case $(parameter pCanaryWSSEndpoint) in wss://*) ;; *) fail "the stack has no pCanaryWSSEndpoint" ;; esac
    production=$(output TwimlAPI)
    production=${production%/twiml}
    try_canary || {
        printf 'release.sh: %s failed; the canary is removed\n' "$tag" >&2
        remove
        exit 1
    }
    printf '# %s passed\n' "$tag"
    ;;
promote)
    production=$(output TwimlAPI)
    production=${production%/twiml}
    before=$(parameter pImageTag)
    registry=$(parameter pECRRepoURL)
    image=$(parameter pImageName)
    keep "$before"
    keep "$tag"
    run sam deploy --template-file cloud-deploy-infra-template.yml --stack-name "$stack" --region "$region" \
        --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-confirm-changeset \
        --no-fail-on-empty-changeset --parameter-overrides "pImageTag=$tag" 'pCanaryImageTag=""' pCanaryShare=0
    probe "$production" || {
        printf 'release.sh: %s failed; %s is deployed again\n' "$tag" "$before" >&2
        change "pImageTag=$before"
        exit 1
    }
    printf '# %s is deployed\n' "$tag"
    ;;
remove) remove ;;
esac
