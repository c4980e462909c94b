"""Log lines: one JSON object each, or readable ones on a terminal.

- Values that may be personal have keys that begin with `pii_`. They are dropped unless the operator
  asks for them.
- The text of an exception is dropped too, and so are its notes: it holds whatever the code that
  raised it put there, such as arguments of a tool or bytes of a request. A traceback has types and
  source lines and no values of variables (structlog shows them as soon as rich is installed).
  Rejected: `traceback.TracebackException`, which cannot leave the text out.
- Warnings and errors that libraries send to `logging` are lines `library.log_emitted`, without
  values. By default Python writes them to stderr as several lines, with bytes of requests.
"""

from __future__ import annotations

import json
import logging
import sys
import textwrap
import traceback
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from agent.observability.logging.log_output import LogOutput
from agent.observability.turn_stages import UNTIL_SPEECH

log = structlog.get_logger(__name__)

_MOST_EXCEPTIONS = 32
"""In one line: the last ones of a chain, the first ones of a group."""
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_LONGEST_MESSAGE = 200
_SHOWN_OF_SID = 6
_INDENT = "\n" + " " * 42
"""Below a sentence, behind the time stamp and the level."""

Values = MutableMapping[str, Any]


def configure_logging(level: str, log_format: str, *, with_personal: bool = False) -> None:
    """Set up structlog for the process, also for what libraries log.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json` or `console`.
        with_personal: Keep values under `pii_` keys and the texts of exceptions.
    """
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    optional: list[structlog.types.Processor] = [] if with_personal else [drop_personal]
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
        )
        optional.append(format_for_console)
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *optional,
        traceback_processor(with_personal=with_personal),
        renderer,
    ]
    structlog.configure(
        processors=[_SafeProcessors(processors)],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=LogOutput(sys.stderr),
    )
    listen_to_libraries()


def lost_lines() -> int:
    """How many log lines of this process could not be written."""
    output = structlog.get_config()["logger_factory"]
    return output.lost if isinstance(output, LogOutput) else 0


class _SafeProcessors:
    """The processors of a line; a line they cannot render is reduced to its event."""

    def __init__(self, processors: Sequence[structlog.types.Processor]) -> None:
        self._processors = processors

    def __call__(self, logger: Any, method: str, values: Values) -> Any:
        event, line = str(values["event"]), values
        try:
            for processor in self._processors:
                line = processor(logger, method, line)  # type: ignore[assignment] # the last: text
        except Exception as error:  # noqa: BLE001 (logging must not end what it reports)
            return json.dumps({"event": event, "level": method, "unreadable": type(error).__name__})
        return line


def drop_personal(_: object, __: str, values: Values) -> Values:
    """A structlog processor: drop every value that may be personal."""
    for key in [key for key in values if key.startswith("pii_")]:
        del values[key]
    return values


class _LibraryHandler(logging.Handler):
    """Passes warnings and errors of libraries to structlog."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        values: dict[str, object] = {}
        if record.exc_info and (error := record.exc_info[1]):
            values = {"error": type(error).__name__, "exc_info": error}
        first, _, _ = str(record.msg).partition("\n")  # asyncio adds values from the second line on
        log.log(
            record.levelno,
            "library.log_emitted",
            logger=record.name,
            message=first[:_LONGEST_MESSAGE],
            pii_detail=record.getMessage(),
            **values,
        )


def listen_to_libraries() -> None:
    """Log what libraries log from now on; calling it again changes nothing."""
    stop_listening()
    logging.getLogger().addHandler(_LibraryHandler())


def stop_listening() -> None:
    """Remove the handler that `listen_to_libraries` installed."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _LibraryHandler)]:
        root.removeHandler(handler)


def traceback_processor(*, with_personal: bool) -> structlog.types.Processor:
    """The processor that renders `exc_info` as `exception`: with all texts, or without."""
    if with_personal:
        return structlog.processors.format_exc_info
    return structlog.processors.ExceptionRenderer(lambda found: frames_and_types(found[1]))


def frames_and_types(error: BaseException) -> str:
    """A traceback in Python's layout, with causes and groups, without texts and notes."""
    return _chain(error, set()).rstrip()


def _chain(error: BaseException, seen: set[int]) -> str:
    """An exception below those it came from; each is shown once, so that it ends."""
    parts = list[str]()
    one: BaseException | None = error
    link = ""
    while one is not None and id(one) not in seen and len(seen) < _MOST_EXCEPTIONS:
        seen.add(id(one))
        parts.append(_frames(one, seen) + link)
        if one.__cause__ is not None:
            one, link = one.__cause__, _CAUSE
        else:
            one, link = None if one.__suppress_context__ else one.__context__, _CONTEXT
    return "".join(reversed(parts))


def _frames(error: BaseException, seen: set[int]) -> str:
    head = "Traceback (most recent call last):\n" if error.__traceback__ else ""
    frames = "".join(traceback.format_tb(error.__traceback__))
    group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    members = "".join(textwrap.indent(_chain(one, seen), "    ") for one in group)
    return f"{head}{frames}{type(error).__name__}\n{members}"


def format_for_console(_: object, __: str, values: Values) -> Values:
    """A structlog processor: turns and summaries of calls as sentences, other lines as they are.

    …89abcd turn 2 answered after 812 ms = prepare 2 + model 640 + phrase 170, then speech 1291
    …89abcd call over: caller_hangup after 41.5 s, 3 turns, 1 interrupt
            agent spoke 61% (measured); tokens 1200 in, 90 out, 88% cached; about 0.0004 USD

    A line begins with the end of its call's SID. The JSON log has all fields.
    """
    match values["event"]:
        case "turn.finished":
            sentence = _turn_sentence(values)
        case "call.summarized":
            sentence = _call_sentence(values)
        case _:
            return values
    sid = str(values.get("call_sid", ""))[-_SHOWN_OF_SID:]
    kept = {key: values[key] for key in ("timestamp", "level") if key in values}
    return {**kept, "event": f"…{sid} {sentence}" if sid else sentence}


def _turn_sentence(turn: Mapping[str, Any]) -> str:
    stages: dict[str, float] = turn["stages"]
    before, after = _stage_sum(stages, is_before=True), _stage_sum(stages, is_before=False)
    sentence = f"turn {turn['turn']} {turn['outcome']}"
    if turn["interrupted"]:
        sentence += f" ({turn['interrupted']})"
    if turn["response_ms"] is None:
        sentence += f" after {turn['total_ms']:.0f} ms without a word"
    else:
        sentence += f" after {turn['response_ms']:.0f} ms" + " (filler)" * turn["filler"]
    sentence += f" = {before}" * bool(before) + f", then {after}" * bool(after)
    for run in turn["tools"]:
        sentence += f"{_INDENT}{run['name']} {run['ms']:.0f} ms {run['outcome']}"
    return sentence


def _stage_sum(stages: Mapping[str, float], *, is_before: bool) -> str:
    return " + ".join(
        f"{name} {ms:.0f}"
        for name, ms in stages.items()
        if round(ms) and (name in UNTIL_SPEECH) == is_before
    )


def _call_sentence(call: Mapping[str, Any]) -> str:
    tokens, tools = call["tokens"], call["tools"]
    head = (
        f"call over: {call['reason']} after {call['seconds']:.1f} s,"
        f" {_counted(call['turns'], 'turn')},"
        f" {_counted(sum(call['interrupts'].values()), 'interrupt')}"
    )
    parts = [
        f"agent spoke {call['talk_share']:.0%} ({call['talk']})",
        f"tokens {tokens['input']} in, {tokens['output']} out, {call['cache_share']:.0%} cached",
    ]
    for name, outcomes in tools.items():
        parts.append(f"{name} " + ", ".join(f"{count} {one}" for one, count in outcomes.items()))
    if "price" in call:
        parts.append(f"about {call['price']:.4f} {call['currency']}")
    return head + _INDENT + "; ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
