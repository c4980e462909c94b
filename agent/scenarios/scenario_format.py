"""The parts of a scenario file, from which the published schema is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a file; a name that it does not have is a fault."""


Text = Annotated[str, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0)]
Times = Annotated[int, Meta(ge=0)]
Keys = Annotated[str, Meta(pattern=r"^([0-9*#]|\{\w+\})+$")]
"""Keys and variables, which are filled in later."""
ErrorCode = Annotated[str, Meta(pattern=r"^([0-9]{5}|\{\w+\})$")]
Value = str | int | float | bool


class SaysFile(_Part, frozen=True):
    """Words of the caller, or the fragments in which recognition delivers them."""

    words: Annotated[str, Meta(description="Not needed with `fragments`.")] = ""
    fragments: Annotated[
        tuple[Text, ...], Meta(description="Each is delivered as a final prompt of its own.")
    ] = ()
    pause: Annotated[Seconds, Meta(description="Seconds between two fragments.")] = 0.6
    language: Annotated[str, Meta(description="Of these words; empty = the caller's.")] = ""
    waits: Annotated[
        bool, Meta(description="First hears the agent out; else these words follow at once.")
    ] = True


class InterruptsFile(_Part, frozen=True):
    """The caller speaks while the agent speaks."""

    words: Annotated[str, Meta(description="Empty = a noise, followed by nothing.")] = ""
    after_words: Annotated[Times, Meta(description="So many words of the agent are heard.")] = 0
    at: Annotated[str, Meta(description="A pattern: as soon as it is heard.")] = ""


class HearsFile(_Part, frozen=True):
    """The agent says something, else the scenario fails here."""

    pattern: Text
    within: Annotated[Seconds, Meta(description="Seconds.")] = 20.0


class PressesFile(_Part, frozen=True):
    """The caller presses keys."""

    keys: Annotated[Keys, Meta(description='In quotes, such as `"12#"`.')]
    waits: Annotated[bool, Meta(description="First hears the agent out.")] = True


class StepFile(_Part, frozen=True, omit_defaults=True):
    """What the caller does; exactly one of these."""

    says: Annotated[
        str | SaysFile | UnsetType, Meta(description="When the agent has finished.")
    ] = UNSET
    interrupts: Annotated[
        InterruptsFile | UnsetType, Meta(description="While the agent speaks.")
    ] = UNSET
    presses: Annotated[Keys | PressesFile | UnsetType, Meta(description="Keys.")] = UNSET
    hears: Annotated[
        str | HearsFile | UnsetType, Meta(description="Waits until the agent says this pattern.")
    ] = UNSET
    waits: Annotated[Seconds | UnsetType, Meta(description="Seconds of silence.")] = UNSET
    loses_line: Annotated[
        ErrorCode | UnsetType,
        Meta(description="The connection breaks, with this error of Twilio: 64105 or 39001."),
    ] = UNSET
    hangs_up: Annotated[
        bool | UnsetType,
        Meta(description="true = after the agent was heard out, false = at once."),
    ] = UNSET


class CallerFile(_Part, frozen=True):
    """Who calls; without `profile` a stranger."""

    number: Annotated[
        str, Meta(description="E.164, or `client:NAME`. It is the variable `{number}`.")
    ] = "+15550109999"
    called: Annotated[str, Meta(description="The agent's number.")] = "+15550100000"
    language: Annotated[str, Meta(description="Of what the caller says.")] = "en-US"
    profile: Annotated[
        dict[str, Any] | None,
        Meta(description="Attributes of the caller's profile in the table, before the call."),
    ] = None


class ToolFile(_Part, frozen=True):
    """A tool that is called."""

    name: Text
    arguments: Annotated[
        dict[str, Any],
        Meta(description="From a path such as `order.type` to a value, or to `{matches: REGEX}`."),
    ] = {}
    times: Annotated[Times | None, Meta(description="Unset = at least once.")] = None


class ItemFile(_Part, frozen=True):
    """Items of the table after the call: so many, and each as `where` says."""

    pk: Text
    sk: Annotated[Text, Meta(description="The beginning of it.")]
    times: Annotated[Times, Meta(description="How many there are.")] = 1
    where: Annotated[
        dict[str, Any],
        Meta(description="From a path such as `order.type` to a value, or to `{matches: REGEX}`."),
    ] = {}


class MessageFile(_Part, frozen=True):
    """A message that is sent."""

    channel: Literal["sms", "email"]
    to: Text
    matches: Annotated[str, Meta(description="A pattern in its text.")] = ""
    times: Times = 1


class ExpectsFile(_Part, frozen=True):
    """What must be true afterwards. What is not named is not checked, but for the manners."""

    tools: Annotated[tuple[ToolFile, ...], Meta(description="Tools that are called.")] = ()
    table: Annotated[tuple[ItemFile, ...], Meta(description="What the table holds.")] = ()
    profile: Annotated[
        dict[str, Any], Meta(description="Values of the caller's profile, as `where` of an item.")
    ] = {}
    messages: Annotated[
        tuple[MessageFile, ...] | None,
        Meta(description="All messages that are sent; `[]` = none is sent, unset = not checked."),
    ] = None
    said: Annotated[
        tuple[Text, ...], Meta(description="Patterns that the caller hears at some time.")
    ] = ()
    never_said: Annotated[
        tuple[Text, ...], Meta(description="Patterns that the agent never says.")
    ] = ()
    numbers: Annotated[
        tuple[float | str, ...],
        Meta(description="Numbers that the caller hears, in digits or in English words."),
    ] = ()
    language: Annotated[str, Meta(description="Of the voice for the last answer.")] = ""
    outcome: Annotated[
        Literal["", "hung-up", "ended", "transferred", "refused"],
        Meta(description="`hung-up` by the caller, `ended` by the agent; empty = any."),
    ] = ""
    transfer_to: Annotated[str, Meta(description="A part of the number or address.")] = ""
    dead_air: Annotated[
        Seconds, Meta(description="The longest silence before an answer begins.")
    ] = 6.0
    first_words: Annotated[
        Seconds,
        Meta(description="Seconds until an answer begins, for 95 % of the turns; 0 = any."),
    ] = 0.0
    tokens: Annotated[
        Times, Meta(description="The most tokens of the model, read and written; 0 = any.")
    ] = 0


class ReplyToolFile(_Part, frozen=True):
    """A tool call of a scripted reply."""

    tool: Text
    arguments: dict[str, Any] = {}


class ScenarioFile(_Part, frozen=True):
    """One file in `scenarios`."""

    steps: Annotated[tuple[StepFile, ...], Meta(description="What the caller does, in order.")]
    about: Annotated[str, Meta(description="For readers.")] = ""
    use_case: Annotated[
        str, Meta(description="Of the caller; empty = the one in whose folder the file is.")
    ] = ""
    caller: Annotated[CallerFile, Meta(description="Who calls.")] = CallerFile()
    variables: Annotated[
        dict[str, Value],
        Meta(description="`{name}` in a text is replaced by the value, `{{name}}` by `{name}`."),
    ] = {}
    variants: Annotated[
        tuple[dict[str, Value], ...],
        Meta(description="Other values of variables: each makes a scenario of the file."),
    ] = ()
    items: Annotated[
        tuple[dict[str, Any], ...],
        Meta(description="Written to the table before the call; `pk` and `sk` are needed."),
    ] = ()
    replies: Annotated[
        tuple[tuple[str | Seconds | ReplyToolFile, ...], ...],
        Meta(
            description="What the model replies, request by request, the last one for ever: words,"
            " seconds until it goes on, and calls; unset = the model of the use case."
        ),
    ] = ()
    expects: Annotated[ExpectsFile, Meta(description="What must be true afterwards.")] = (
        ExpectsFile()
    )
    tags: Annotated[tuple[Text, ...], Meta(description="Words for `--only`.")] = ()
