"""Language models, chosen by the scheme of an identifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.llm.offline import OFFLINE_NOTICE, OfflineModel
from agent.ports import LanguageModel, UseCaseError

__all__ = ["OFFLINE_NOTICE", "OfflineModel", "open_model"]

_BARE = ""
"""The scheme of an identifier without one."""


def _open_offline(_: str, offline_script: str) -> LanguageModel:
    return OfflineModel(offline_script)


def _refuse(family: str) -> Callable[[str, str], LanguageModel]:
    def open_unavailable(identifier: str, _: str) -> LanguageModel:
        raise UseCaseError(
            f"llmModel: {identifier!r} is a model of {family}, "
            "which this version cannot use; leave it out or set offline:"
        )

    return open_unavailable


_SCHEMES: Mapping[str, Callable[[str, str], LanguageModel]] = {
    "offline": _open_offline,
    "openai": _refuse("a chat-completions endpoint"),
    _BARE: _refuse("Amazon Bedrock"),
}


def open_model(identifier: str, *, offline_script: str) -> LanguageModel:
    """The model an identifier names; empty is `offline:`.

    Args:
        identifier: `offline:`, `openai:NAME`, or a bare Bedrock id or ARN.
        offline_script: JSON text of the use case's script, for the offline model.

    Raises:
        UseCaseError: This version has no such models, or the offline script is broken.
    """
    scheme, colon, _ = (identifier or "offline:").partition(":")
    opened = _SCHEMES.get(scheme if colon else _BARE, _SCHEMES[_BARE])
    return opened(identifier, offline_script)
