#!/usr/bin/env bash
# Builds the image of the service for Amazon ECR, and says how to deploy it. Nothing to edit: what it must
# know comes from options or from the environment.
#
# Every command that does something is printed before it runs, so --dry-run is the same without running.
# The image is named after the commit it was made of, and its tag never moves; it is deployed by digest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

help() {
    cat <<'HELP'
Usage: ./build-images.sh [OPTION ...]

Builds the image of the service for one registry on Amazon ECR. With --push it goes there, and the
parameters for `sam deploy` are printed; without, the build only shows that it works.

  --repository URL     ACCOUNT.dkr.ecr.REGION.amazonaws.com, if you like with /NAME (ECR_REPO_URL)
  --account ID         twelve digits, together with --region instead (AWS_ACCOUNT_ID)
  --region REGION      (AWS_REGION, AWS_DEFAULT_REGION)
  --image NAME         repository of the image (IMAGE_NAME); twilio-conversation-relay-bedrock-services
  --tag TAG            (IMAGE_TAG); the commit, shortened. Never latest
  --platforms LIST     (PLATFORMS); linux/amd64,linux/arm64
  --base-image IMAGE   (BASE_IMAGE); what the Dockerfile names
  --requirements FILE  (REQUIREMENTS); requirements.txt. With requirements-traces.txt it can send traces
  --allow-dirty        build also what is not committed
  --push               sign in, make the repository if there is none, and push
  --sign ARN           (SIGNING_PROFILE_ARN) with --push: sign the image by this profile of AWS Signer,
                       with notation and its plugin (docs/deploy/upgrade.md)
  --dry-run            print every command and run none; needs neither Docker nor AWS
  --help               this

What is in brackets is read where the option is not given. BUILDX_BUILDER names the builder; without, one
called voice-agent is made. Where it cannot run a platform, emulators are registered in the kernel of its
machine until that restarts; a builder with a machine of each architecture needs none, and is faster.
HELP
}

fail() {
    printf 'build-images.sh: %s\n' "${1//$'\n'/ }" >&2
    exit 2
}

# matches TEXT PATTERN: the whole of it, in every locale.
matches() {
    local LC_ALL=C
    [[ $1 =~ ^($2)$ ]]
}

repository=${ECR_REPO_URL:-}
account=${AWS_ACCOUNT_ID:-}
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
image=${IMAGE_NAME:-}
tag=${IMAGE_TAG:-}
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
base_image=${BASE_IMAGE:-}
requirements=${REQUIREMENTS:-}
profile=${SIGNING_PROFILE_ARN:-}
given_url='' given_parts='' allow_dirty='' push='' dry_run=''

while [ $# -gt 0 ]; do
    case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
    case $1 in
    --repository | --account | --region | --image | --tag | --platforms | --base-image | --requirements | --sign)
        [ -n "${2:-}" ] || fail "$1 needs a value"
        ;;
    esac
    case $1 in
    --repository) repository=$2 given_url=1 ;;
    --account) account=$2 given_parts=1 ;;
    --region) region=$2 given_parts=1 ;;
    --image) image=$2 ;;
    --tag) tag=$2 ;;
    --platforms) platforms=$2 ;;
    --base-image) base_image=$2 ;;
    --requirements) requirements=$2 ;;
    --sign) profile=$2 ;;
    --allow-dirty) allow_dirty=1 ;;
    --push) push=1 ;;
    --dry-run) dry_run=1 ;;
    --help | -h)
        help
        exit
        ;;
    *) fail "unknown option $1 (see --help)" ;;
    esac
    case $1 in --allow-dirty | --push | --dry-run) shift ;; *) shift 2 ;; esac
done

# Where it goes.

[ -z "$given_url" ] || [ -z "$given_parts" ] ||
    fail "give --repository, or --account and --region, not both"
if [ -n "$given_parts" ] || [ -z "$repository" ]; then
    [ -n "$account" ] && [ -n "$region" ] ||
        fail "the registry is missing: give --repository, or --account and --region"
    matches "$account" '[0-9]{12}' || fail "--account must be twelve digits: $account"
    matches "$region" '[a-z]{2}(-[a-z]+)+-[0-9]+' || fail "--region must be like us-east-1: $region"
    repository=$account.dkr.ecr.$region.amazonaws.com
    case $region in cn-*) repository=$repository.cn ;; esac
fi
registry=${repository%%/*}
if [ "$registry" != "$repository" ]; then
    [ -z "$image" ] || [ "$image" = "${repository#*/}" ] ||
        fail "the image has two names: $image and ${repository#*/}"
    image=${repository#*/}
fi
matches "$registry" '([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?' ||
    fail "the repository must be ACCOUNT.dkr.ecr.REGION.amazonaws.com: $repository"
account=${registry%%.*}
region=${registry#*.dkr.ecr.}
region=${region%%.*}
image=${image:-twilio-conversation-relay-bedrock-services}
matches "$image" '[a-z0-9]+([._/-][a-z0-9]+)*' || fail "--image must be in lower case, a/b-c: $image"

# What goes there. Git tells the revision; an archive of the sources has none.

# What the build would take that is in no commit: of what .dockerignore lets into it, also files that git
# ignores. Other files, as samconfig.toml, do not get into the image.
uncommitted() {
    local line taken=()
    [ ! -f .dockerignore ] || while IFS= read -r line; do
        case $line in
        '!'*) taken+=(":(top,glob)${line#!}" ":(top,glob)${line#!}/**") ;;
        '**/'*) taken+=(":(top,exclude,glob)$line" ":(top,exclude,glob)$line/**") ;;
        esac
    done <.dockerignore
    git diff --name-only --relative HEAD -- .
    git ls-files --others -- "${taken[@]}"
}

revision=$(git rev-parse HEAD 2>/dev/null) || revision=
changes=
[ -z "$revision" ] || changes=$(uncommitted)
if [ -z "$allow_dirty" ]; then
    [ -n "$revision" ] || fail "no git commit tells what is built; give --tag and --allow-dirty"
    [ -z "$changes" ] ||
        fail "not committed: $(head -3 <<<"$changes" | paste -sd ' '); commit it, or give --allow-dirty"
fi
if [ -n "$revision" ]; then
    short=$(git rev-parse --short=12 HEAD)
    created=$(TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
    [ -z "$changes" ] || short=$short-dirty revision=$revision-dirty
    tag=${tag:-$short}
else
    created=$(date -u +%Y-%m-%dT%H:%M:%SZ)
fi
[ -n "$tag" ] || fail "--tag is missing, and there is no git commit to take it from"
[ "$tag" != latest ] || fail "--tag must not be latest: a tag that moves cannot be deployed nor rolled back"
matches "$tag" '[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}' ||
    fail "--tag must be letters, digits, dots, dashes and underscores, at most 128: $tag"
matches "$platforms" 'linux/(amd64|arm64)|linux/amd64,linux/arm64|linux/arm64,linux/amd64' ||
    fail "--platforms must be linux/amd64, linux/arm64, or both with a comma: $platforms"
[ -z "$base_image" ] ||
    matches "$base_image" '([a-z0-9.:-]+/)*[a-z0-9._-]+(:[A-Za-z0-9_.-]+)?@sha256:[0-9a-f]{64}' ||
    fail "--base-image must be the name of an image with @sha256: and its digest: $base_image"
[ -z "$requirements" ] || { matches "$requirements" 'requirements[a-z-]*\.txt' && [ -f "$requirements" ]; } ||
    fail "--requirements must be one of the locked files here: $requirements"
[ -z "$profile" ] || [ -n "$push" ] || fail "--sign needs --push: a signature is kept beside the image"
[ -z "$profile" ] ||
    matches "$profile" 'arn:aws[a-z-]*:signer:[a-z0-9-]+:[0-9]{12}:/signing-profiles/[A-Za-z0-9_]{2,64}' ||
    fail "--sign must be the ARN of a signing profile: $profile"

# The label tells where the sources are, not the password to get there, nor a folder of this machine.
source=$(git config --get remote.origin.url 2>/dev/null) || source=
case $source in
*://*@*) source=${source%%://*}://${source#*@} ;;
esac
matches "$source" '(https?|ssh)://[A-Za-z0-9._:/~-]+|git@[A-Za-z0-9._:/~-]+' || source=

# show COMMAND ...: as one could type it.
show() {
    local word
    printf '+'
    for word; do
        case $word in
        *[!A-Za-z0-9_./:=@,+-]* | '') printf " '%s'" "$word" ;;  # no word here has a quote in it
        *) printf ' %s' "$word" ;;
        esac
    done
}

run() {
    show "$@"
    printf '\n'
    [ -n "$dry_run" ] || "$@"
}

# fails COMMAND ...: shown, run, and it failed; what it said is in $said. A dry run goes the longer way.
fails() {
    show "$@"
    printf '\n'
    [ -n "$dry_run" ] || ! said=$("$@" 2>&1)
}

if [ -z "$dry_run" ]; then
    command -v docker >/dev/null || fail "docker is not installed here; try --dry-run"
    [ -z "$push" ] || command -v aws >/dev/null || fail "the AWS command line is not installed here"
    [ -z "$profile" ] || command -v notation >/dev/null || fail "notation is not installed here"
fi
export AWS_PAGER=
# QEMU 10.2.3, for the kernel: https://github.com/tonistiigi/binfmt
emulators=tonistiigi/binfmt:qemu-v10.2.3@sha256:400a4873b838d1b89194d982c45e5fb3cda4593fbfd7e08a02e76b03b21166f0

if [ -n "$push" ]; then
    at=(--registry-id "$account" --repository-name "$image" --region "$region")
    if fails aws ecr describe-repositories --registry-id "$account" --repository-names "$image" \
        --region "$region"; then
        if [ -z "$dry_run" ] && [[ $said != *RepositoryNotFoundException* ]]; then
            printf '%s\n' "$said" >&2
            exit 1
        fi
        printf '# There is no such repository:\n'
        run aws ecr create-repository "${at[@]}" --image-tag-mutability IMMUTABLE \
            --image-scanning-configuration scanOnPush=true
    fi
    # A policy that is there is the operator's. An image that a rule selects is left alone by all rules
    # after it, so what was deployed stays: release.sh gives it a second tag that begins with deployed-.
    # Parts of a tagged image and its signature have no tag; ECR keeps what an image refers to, and deletes
    # a signature with its image. https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
    if fails aws ecr get-lifecycle-policy "${at[@]}"; then
        if [ -z "$dry_run" ] && [[ $said != *LifecyclePolicyNotFoundException* ]]; then
            printf '%s\n' "$said" >&2
            exit 1
        fi
        printf '# It has no rules for old images:\n'
        run aws ecr put-lifecycle-policy "${at[@]}" --lifecycle-policy-text \
            '{"rules":[{"rulePriority":1,"description":"Was deployed","selection":{"tagStatus":"tagged","tagPatternList":["deployed-*"],"countType":"imageCountMoreThan","countNumber":9999},"action":{"type":"expire"}},{"rulePriority":2,"description":"Without a tag","selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}},{"rulePriority":3,"description":"Older than the last 30","selection":{"tagStatus":"tagged","tagPatternList":["*"],"countType":"imageCountMoreThan","countNumber":30},"action":{"type":"expire"}}]}'
    fi
    show aws ecr get-login-password --region "$region"
    printf ' | '
    sign_in=(docker login --username AWS --password-stdin "$registry")
    printf '%s\n' "${sign_in[*]}"
    [ -n "$dry_run" ] || aws ecr get-login-password --region "$region" | "${sign_in[@]}"
fi

# A tag never moves, so an image with the tag of this commit is the one that would be built, if it would be
# built without options: as when a pipeline runs again.
digest=
ask=(aws ecr describe-images "${at[@]:-}" --image-ids "imageTag=$tag"
    --query 'imageDetails[0].imageDigest' --output text)
if [ -n "$push" ] && [ "$tag" = "${short:-}" ] && [ -z "$changes$base_image$requirements" ] &&
    [ "$platforms" = linux/amd64,linux/arm64 ]; then
    if ! fails "${ask[@]}"; then
        digest=$said
        printf '# It is there: not built again.\n'
    elif [ -z "$dry_run" ] && [[ $said != *ImageNotFoundException* ]]; then
        printf '%s\n' "$said" >&2
        exit 1
    fi
fi

# build: for all platforms.
build() {
    # Docker's own builder makes neither several platforms nor attestations, unless its store is containerd's.
    builder=${BUILDX_BUILDER:-}
    if [ -z "$builder" ]; then
        builder=voice-agent
        if fails docker buildx inspect "$builder"; then
            printf '# There is no such builder:\n'
            run docker buildx create --name "$builder" --driver docker-container
        fi
    fi

    # What the builder cannot run is emulated. A dry run takes it for one that runs this machine's programs only.
    runs=linux/$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
    show docker buildx inspect --bootstrap "$builder"
    printf '\n'
    [ -n "$dry_run" ] || runs=$(docker buildx inspect --bootstrap "$builder" | sed -n 's/^ *Platforms: *//p')
    foreign=
    for platform in ${platforms//,/ }; do
        case ,${runs//[*[:space:]]/}, in
        *,"$platform",*) ;;
        *) foreign=$foreign${foreign:+,}${platform#linux/} ;;
        esac
    done
    if [ -n "$foreign" ]; then
        printf '# It runs no programs for %s:\n' "$foreign"
        run docker run --privileged --rm "$emulators" --install "$foreign"
    fi

    arguments=(--build-arg "REVISION=$revision" --build-arg "VERSION=$tag" --build-arg "CREATED=$created")
    [ -z "$source" ] || arguments+=(--build-arg "SOURCE=$source")
    [ -z "$base_image" ] || arguments+=(--build-arg "BASE_IMAGE=$base_image")
    [ -z "$requirements" ] || arguments+=(--build-arg "REQUIREMENTS=$requirements")
    output=cacheonly
    [ -z "$push" ] || output=registry
    run docker buildx build --builder "$builder" --platform "$platforms" --sbom=true \
        --provenance=mode=max "${arguments[@]}" --tag "$registry/$image:$tag" --output "type=$output" .
}
[ -n "$digest" ] || build

if [ -n "$push" ] && [ -z "$digest" ]; then
    show "${ask[@]}"
    printf '\n'
    [ -n "$dry_run" ] || digest=$("${ask[@]}")
fi
# By the digest, which is what is deployed. notation signs in as docker does.
# https://docs.aws.amazon.com/signer/latest/developerguide/image-signing-steps.html
[ -z "$profile" ] || run notation sign --plugin com.amazonaws.signer.notation.plugin --id "$profile" \
    "$registry/$image@${digest:-DIGEST}"

architecture=X86_64
case $platforms in *arm64*) architecture=ARM64 ;; esac
printf '\nImage:  %s/%s:%s\n' "$registry" "$image" "$tag"
[ -z "$digest" ] || printf 'Digest: %s\n' "$digest"
[ -n "$push" ] || printf 'It was not pushed; --push does that.\n'
cat <<DEPLOY

sam deploy --template-file cloud-deploy-infra-template.yml --stack-name STACK --region $region \\
    --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameter-overrides \\
    pECRRepoURL=$registry \\
    pImageName=$image \\
    pImageTag=${digest:-$tag} \\
    pCpuArchitecture=$architecture

A new stack also needs pPublicWSSEndpoint, pCustomerDomainCertificateArn and pTwilioAuthTokenSecretArn.
DEPLOY
