"""What a call knows of the languages of its use case."""

from __future__ import annotations

from agent.call.built_in_phrases import SPANISH_PHRASES
from agent.session.live_config import config_of
from agent.usecases import UseCase
from agent.usecases.record import parse_use_case


def use_case(**more: object) -> UseCase:
    relay = {"language": "en-US", "transcriptionLanguage": "multi"}
    languages = [{"code": "es-US", "ttsProvider": "Amazon", "voice": "Lupe-Neural"}]
    record = {"pk": "shop", "prompt": "Be brief.", "conversationRelayParams": relay}
    return parse_use_case({**record, "languages": languages, **more}, {})[0]


def test_a_call_begins_in_the_first_language_and_may_change_to_the_others() -> None:
    config = config_of(use_case(), {"pk": "CA1"})

    assert (config.language, config.voice_language) == ("en-US", "en-US")
    assert list(config.translations) == ["en-US", "es-US"]
    assert config.in_language("es-US").phrases == SPANISH_PHRASES
    assert config.hears_any_language


def test_a_backup_voice_of_another_language_leaves_the_language_to_the_session() -> None:
    backup = {"provider": "Amazon", "voice": "Amy-Neural", "language": "en-GB"}

    config = config_of(use_case(backupVoice=backup), {"pk": "CA1"})

    assert config.voice_language == ""
    assert config.in_language("es-US").voice_language == "es-US"
    assert config_of(
        use_case(backupVoice={**backup, "language": "en-US"}), {"pk": "CA1"}
    ).voice_language == "en-US"  # fmt: skip
