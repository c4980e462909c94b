"""What spans are made with, and what the GenAI conventions call things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.call.messages import StopReason, Usage

if TYPE_CHECKING:
    from opentelemetry.trace import Span

FINISHED = {
    StopReason.END: "stop",
    StopReason.TOOLS: "tool_call",
    StopReason.LENGTH: "length",
    StopReason.BLOCKED: "content_filter",
    StopReason.MALFORMED: "error",
    StopReason.UNKNOWN: "unknown",
}
Attribute = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Attribute]


class Spans(Protocol):
    """What begins spans: `process.Tracing`."""

    def begin(
        self, name: str, at: float, attributes: Attributes, under: Span | None, *, is_client: bool
    ) -> Span:
        """A span that began then; under None it is the first one of a trace.

        Args:
            name: Of few values.
            at: Seconds on the clock of the event loop.
            attributes: With which it begins.
            under: Its parent.
            is_client: Its kind is `CLIENT`.
        """
        ...

    def end(self, span: Span, at: float, *, is_error: bool) -> None:
        """It is over, and was then."""
        ...

    def observing(self, span: Span) -> None:
        """What is measured from now on is of this trace."""
        ...

    @property
    def now(self) -> Callable[[], float]:
        """Seconds on the clock of the event loop."""
        ...

    @property
    def with_content(self) -> bool:
        """Whether spans have what was said."""
        ...


@dataclass(slots=True)
class OpenSpans:
    """A span under way; times are seconds on the clock of the loop."""

    span: Span
    began: float
    under: OpenSpans | None
    latest: float
    """When the last of those under it was over, or it began."""


def cover(one: OpenSpans | None, at: float) -> None:
    """Something under it was over then."""
    if one is not None:
        one.latest = max(one.latest, at)


def tell_tokens(one: OpenSpans, usage: Usage) -> None:
    """And who answered; in the conventions, tokens of the prompt cache are input too."""
    if usage.model:
        answered = model_attributes(usage.model)["gen_ai.request.model"]
        one.span.set_attribute("gen_ai.response.model", answered)
    read = usage.input + usage.cache_read + usage.cache_write
    one.span.set_attribute("gen_ai.usage.input_tokens", read)
    one.span.set_attribute("gen_ai.usage.output_tokens", usage.output)
    one.span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cache_read)
    one.span.set_attribute("gen_ai.usage.cache_creation.input_tokens", usage.cache_write)


def model_attributes(identifier: str) -> dict[str, str]:
    """Who is asked; identifiers without a scheme are those of Bedrock."""
    scheme, colon, name = identifier.partition(":")
    if colon and scheme == "openai":
        return {"gen_ai.provider.name": "openai", "gen_ai.request.model": name}
    provider = scheme if identifier.endswith(":") else "aws.bedrock"
    return {"gen_ai.provider.name": provider, "gen_ai.request.model": identifier}
