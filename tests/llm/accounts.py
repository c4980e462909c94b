"""AWS accounts that do not exist, and none of this machine's own."""

from __future__ import annotations

import pytest

_OF_THIS_MACHINE = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME")


def set_account(patch: pytest.MonkeyPatch, endpoint: str = "") -> None:
    """Give this process keys, a region and this endpoint of Bedrock; empty = the region's own."""
    for name in (*_OF_THIS_MACHINE, *_ENDPOINTS):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_CONFIG_FILE", "nowhere")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    patch.setenv("AWS_REGION", "eu-central-1")
    if endpoint:
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", endpoint)
