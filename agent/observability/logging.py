"""Log lines: one JSON object each, or readable ones on a terminal.

- Values that may be personal have keys that begin with `pii_` and are dropped by default.
- So are the text and the notes of an exception, which may hold arguments of a tool or bytes of a
  request. A traceback has types and source lines and no values of variables (structlog shows them
  as soon as rich is installed). Rejected: `TracebackException`, which cannot leave the text out.
- Warnings and errors that libraries send to `logging` are lines `library.log_emitted`, without
  values.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import select
import stat
import sys
import textwrap
import traceback
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from threading import Condition, Thread
from typing import Any, TextIO

import msgspec
import structlog

from agent.observability.turn_stages import UNTIL_SPEECH

log = structlog.get_logger(__name__)

MOST_WAITING = 4 * 1024 * 1024  # bytes
FLUSH_SECONDS = 2.0
_MOST_EXCEPTIONS = 32
"""In one line: the last ones of a chain, the first ones of a group."""
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"
_LONGEST_MESSAGE = 200
_INDENT = "\n" + " " * 42  # behind the time stamp and the level

Values = MutableMapping[str, Any]
_JSON = msgspec.json.Encoder()


def configure_logging(level: str, log_format: str, *, with_personal: bool = False) -> None:
    """Set up structlog for the process, also for what libraries log."""
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer(serializer=_json)
    optional: list[structlog.types.Processor] = [structlog.processors.format_exc_info]
    if not with_personal:
        render = structlog.processors.ExceptionRenderer(lambda info: frames_and_types(info[1]))
        optional = [_drop_personal, render]
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        optional.append(_format_for_console)
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *optional,
        renderer,
    ]
    structlog.configure(
        processors=[partial(_rendered, processors)],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=LogOutput(sys.stderr),
    )
    stop_listening()
    logging.getLogger().addHandler(_LibraryHandler())


def lost_lines() -> int:
    """How many log lines of this process could not be written."""
    output = structlog.get_config()["logger_factory"]
    return output.lost if isinstance(output, LogOutput) else 0


def _rendered(
    processors: Sequence[structlog.types.Processor], logger: Any, method: str, values: Values
) -> Any:
    """The text of a line, or its event alone if the processors cannot render it."""
    event = str(values["event"])
    try:
        for processor in processors:
            values = processor(logger, method, values)  # type: ignore[assignment] # the last: text
    except Exception as error:  # noqa: BLE001 (logging must not end what it reports)
        return json.dumps({"event": event, "level": method, "unreadable": type(error).__name__})
    return values


def _json(values: Values, default: Callable[[Any], Any]) -> str:
    """JSON of a line; the standard library's, which is slower, for what msgspec cannot write."""
    try:
        return _JSON.encode(values).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return json.dumps(values, default=default)


def _drop_personal(_: object, __: str, values: Values) -> Values:
    return {key: value for key, value in values.items() if not key.startswith("pii_")}


class _LibraryHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        values = {"error": type(error).__name__, "exc_info": error} if error else {}
        first, _, _ = str(record.msg).partition("\n")  # asyncio adds values from the second line on
        log.log(
            record.levelno,
            "library.log_emitted",
            logger=record.name,
            message=first[:_LONGEST_MESSAGE],
            pii_detail=record.getMessage(),
            **values,
        )


def stop_listening() -> None:
    """No longer log what libraries log."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _LibraryHandler)]:
        root.removeHandler(handler)


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


def _format_for_console(_: object, __: str, values: Values) -> Values:
    """Turns and summaries of calls as sentences, other lines as they are.

    …89abcd turn 2 answered after 812 ms = prepare 2 + model 640 + phrase 170, then speech 1291
    …89abcd call over: caller_hangup after 41.5 s, 3 turns, 1 interrupt
            agent spoke 61% (measured); tokens 1200 in, 90 out, 88% cached; about 0.0004 USD

    A line begins with the end of its call's SID.
    """
    sentences = {"turn.finished": _turn_sentence, "call.summarized": _call_sentence}
    if (to_sentence := sentences.get(values["event"])) is None:
        return values
    sentence = to_sentence(values)
    sid = str(values.get("call_sid", ""))[-6:]
    kept = {key: values[key] for key in ("timestamp", "level") if key in values}
    return {**kept, "event": f"…{sid} {sentence}" if sid else sentence}


def _turn_sentence(turn: Mapping[str, Any]) -> str:
    stages: dict[str, float] = turn["stages"]
    before, after = (_stage_sum(stages, is_before=each) for each in (True, False))
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
    counts = {"turn": call["turns"], "interrupt": sum(call["interrupts"].values())}
    head = f"call over: {call['reason']} after {call['seconds']:.1f} s"
    head += "".join(f", {count} {noun}{'s' * (count != 1)}" for noun, count in counts.items())
    parts = [
        f"agent spoke {call['talk_share']:.0%} ({call['talk']})",
        f"tokens {tokens['input']} in, {tokens['output']} out, {call['cache_share']:.0%} cached",
    ]
    for name, outcomes in tools.items():
        parts.append(f"{name} " + ", ".join(f"{count} {one}" for one, count in outcomes.items()))
    if "price" in call:
        parts.append(f"about {call['price']:.4f} {call['currency']}")
    return head + _INDENT + "; ".join(parts)


class LogOutput:
    """A `logger_factory` of structlog that writes to a file without delaying a call.

    A line that the file takes at once is written at once. Otherwise a thread writes the lines in
    their order; those beyond `MOST_WAITING`, or that the file refuses, are lost and counted.
    Rejected: a thread for every line, which loses the last lines of a killed process; a
    non-blocking descriptor, because other processes share it.
    """

    def __init__(self, file: TextIO) -> None:
        self.lost = 0
        self._file = file
        self._descriptor = _descriptor_of(file)
        mode = 0 if self._descriptor is None else os.fstat(self._descriptor).st_mode
        is_stream = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        self._most_at_once = select.PIPE_BUF if is_stream else sys.maxsize
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = Condition()
        self._writer: Thread | None = None
        self.debug = self.info = self.warning = self.error = self.critical = self.write

    def __call__(self, *_: object) -> LogOutput:
        return self

    def write(self, line: str) -> None:
        """Write a line, now or as soon as the file takes it. Never raises or waits."""
        if self._descriptor is None:
            print(line, file=self._file, flush=True)
            return
        data = f"{line}\n".encode(errors="backslashreplace")
        with self._changed:
            if not self._waiting and len(data) <= self._most_at_once and self._is_ready(0):
                self._write_now(self._descriptor, data)
            elif self._waiting_bytes + len(data) <= MOST_WAITING:
                self._write_later(data)
            else:
                self.lost += 1

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait for `seconds` at most until all lines are written; the process does at its end."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, seconds)

    def _is_ready(self, milliseconds: int | None) -> bool:
        poll = select.poll()
        poll.register(self._descriptor or 0, select.POLLOUT)
        return bool(poll.poll(milliseconds))

    def _write_now(self, descriptor: int, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:  # the disk is full, or the reader is gone
            self.lost += 1

    def _write_later(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._writer is None:
            self._writer = Thread(target=self._write_waiting, name="log", daemon=True)
            self._writer.start()
            atexit.register(self.flush)
        self._changed.notify_all()

    def _write_waiting(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                data = self._waiting[0]
            self._is_ready(None)
            self._write_now(self._descriptor or 0, data)
            with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                self._changed.notify_all()


def _descriptor_of(file: TextIO) -> int | None:
    try:
        return file.fileno()
    except (AttributeError, ValueError):  # also `io.UnsupportedOperation`
        return None
