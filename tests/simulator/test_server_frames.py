"""Frames are read as strictly as Twilio reads them."""

from __future__ import annotations

import pytest

from agent.simulator.server_frames import FrameError, LanguageFrame, PlayFrame, read_frame


def test_frames_are_read() -> None:
    played = read_frame('{"type":"play","source":"https://example.com/a.mp3","preemptible":true}')
    spoken = read_frame('{"type":"language","ttsLanguage":"es-MX"}')

    assert played == PlayFrame("https://example.com/a.mp3", preemptible=True)
    assert spoken == LanguageFrame(ttsLanguage="es-MX")


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        ("", "not JSON"),
        ('{"type":"text","token":"\\ud800"}', "not JSON"),
        ('{"type":"say","token":"a"}', "Invalid value 'say' - at `$.type`"),
        ('{"type":"text","token":"a","secret":1}', "a field that is not documented"),
        ('{"type":"text","token":"a","lang":"en_US"}', "Expected `str` matching regex"),
        ('{"type":"play","source":"file:///a"}', "Expected `str` matching regex"),
        ('{"type":"play","source":"https://a","loop":1001}', "Expected `int` <= 1000"),
        ('{"type":"sendDigits","digits":"12a"}', "Expected `str` matching regex"),
        ('{"type":"language"}', "names no language"),
        ('{"type":"end","handoffData":{}}', "Expected `str`, got `object`"),
    ],
)
def test_frame_that_twilio_drops_is_an_error(frame: str, rule: str) -> None:
    with pytest.raises(FrameError) as error:
        read_frame(frame)

    assert str(error.value).startswith(rule)
