"""What models write for themselves or for their server is not said."""

# ruff: noqa: RUF001 (full-width marks are what is tested)

from __future__ import annotations

from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.sentence_chunker import SentenceChunker

THOUGHTS = (
    "<think>{}</think>",
    "<thinking>{}</thinking>",
    "<antThinking>{}</antThinking>",
    "<reasoning>{}</reasoning>",
    "<reflection>{}</reflection>",
    "<scratch_pad>{}</scratch_pad>",
    "<thought>{}</thought>",
    "<seed:think>{}</seed:think>",
    "<mm:think>{}</mm:think>",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|inner_prefix|>{}<|inner_suffix|>",
    "<|channel>thought\n{}<channel|>",
    "<!-- {} -->",
    "<|channel|>analysis<|message|>{}<|end|>",
    "<|channel|>commentary<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>analysis<|message|>{}<|end|>"
    "<|start|>assistant<|channel|>final <|constrain|>json<|message|>",
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "<start_of_turn>user\n{}<end_of_turn>\n<start_of_turn>model\n",
    "<|start_header_id|>user<|end_header_id|>\n{}<|eot_id|>",
    "[INST] {} [/INST]",
)
"""Each hides what is put into it."""

CALLS = (
    '<tool_call>{"name": "secret"}</tool_call>',
    "<tool_call>\n<function=secret>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>",
    '<function=secret>{"a": 1}</function>',
    '<function name="secret">{"a": 1}</function>',
    "<tool_code>secret()</tool_code>",
    '<TOOLCALL>[{"name": "secret"}]</TOOLCALL>',
    "<function_calls><invoke name='secret'></invoke></function_calls>",
    '<function_calls><invoke name="secret">',
    '<minimax:tool_call><invoke name="secret">',
    '[TOOL_CALLS]secret{"a": 1}',
    '[TOOL_CALLS] [{"name": "secret", "arguments": {}}]',
    '[TOOL_REQUEST]{"name": "secret"}[END_TOOL_REQUEST]',
    "<|python_tag|>secret.call(a=1)",
    '<|tool_call|>{"name": "secret"}',
    "<|tool_call>call:secret{a:1}<tool_call|>",
    '<|tool_calls_section_begin|><|tool_call_begin|>functions.secret:0{"a":1}',
    'functions.secret:0{"a": 1}',
    'functions.secret({"a": 1})',
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>secret",
    "<｜DSML｜function_calls><｜DSML｜invoke name='secret'>",
    "<｜｜DSML｜｜tool_calls>secret",
    "<|action_start|><|plugin|>secret",
    '<|START_ACTION|>[{"tool_name": "secret"}]<|END_ACTION|>',
    '<|channel|>commentary to=functions.secret <|constrain|>json<|message|>{"a": 1}<|call|>',
    '<|start|>assistant to=functions.secret<|channel|>commentary<|message|>{"a": 1}',
    '{"name": "secret", "arguments": {"a": "1"}}',
    '{"name": "secret", "parameters": {}}',
    '[{"name": "secret", "arguments": {}}]',
    '{\n  "arguments": {"a": [1, "}"]},\n  "name": "secret"\n}',
    '{"type": "function", "function": {"name": "secret", "parameters": {"a": 1}}}',
    '{"tool_calls": [{"function": {"name": "secret"}}]}',
    '{"tool": "secret", "tool_input": {"a": 1}}',
    '{"action": "secret", "action_input": "1"}',
    "{'name': 'secret', 'arguments': {'a': 1}}",
    '```json\n{"name": "secret", "arguments": {"a": 1}}\n```',
    "```tool_code\nsecret()\n```",
    '[secret_tool(a="1")]',
    "[secret_tool()]",
    '{"name": "secret", "argu',
)
"""Tool calls written as text."""

TOKENS = (
    "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end|>", "<|return|>", "</s>", "<s>", "[/INST]",
    "<eos>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<|im_start|>assistant\n", "<|assistant|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n", "[|endofturn|]", "<</SYS>>", "<turn|>",
    "<|end_of_text|>", "<｜Assistant｜>", "<|END_OF_TURN_TOKEN|>", "<|reserved_special_token_9|>",
)  # fmt: skip
"""Left out; what stands around them is said."""

ORDINARY = (
    '{"a": {"b": 1}} two',
    "3 < 5 and 7 > 2", "a<b", "[laughs]", "[sighs softly]", "{curly}", '{"size": "large"}',
    '{"name": "Ada", "size": "large"}', "functions", "functions. Then", "assistant", "f", "[",
    "analysis of it", "`code`", "fun", "[a", "as", "<", "{", "I <3 you", "[Ada] (guest)", "[1]",
    'x {"name": 5, "arguments": 3}', "assistant finally", "[WAIT]", "dysfunctions.name:0",
)  # fmt: skip


def said_of(*deltas: str) -> tuple[str, bool]:
    """What is said of a reply, its white space made one blank; and whether it held a call."""
    speech = SentenceChunker()
    words = "".join([*(speech.feed(delta) for delta in deltas), speech.finish()])
    return " ".join(words.split()), speech.has_call


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
@pytest.mark.parametrize("pattern", THOUGHTS)
def test_what_a_model_thinks_is_not_said(pattern: str, size: int) -> None:
    text = f"Sure. {pattern.format('The user said 1 < 2, secret.')} Two pizzas."

    said, has_call = said_of(*(text[at : at + size] for at in range(0, len(text), size)))

    assert (said, has_call) == ("Sure. Two pizzas.", False)


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
@pytest.mark.parametrize("call", CALLS)
def test_a_tool_call_in_text_is_never_said(call: str, size: int) -> None:
    text = f"One moment.\n{call}"

    said, has_call = said_of(*(text[at : at + size] for at in range(0, len(text), size)))

    assert (said, has_call) == ("One moment.", True)


@pytest.mark.parametrize("token", TOKENS)
def test_a_control_token_is_left_out(token: str) -> None:
    assert said_of(f"Two pizzas.{token}Which size?") == ("Two pizzas. Which size?", False)
    assert said_of(f"{token}Two pizzas.{token}") == ("Two pizzas.", False)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_with_such_marks_are_said(text: str) -> None:
    said, has_call = said_of(f"So {text} yes.")

    kept = [one for one in f"So {text} yes." if one.isalnum()]
    spoken = said.replace("less than", "").replace("greater than", "")
    assert ([one for one in spoken if one.isalnum()], has_call) == (kept, False)


@pytest.mark.parametrize(
    ("end", "said", "has_call"),
    [
        ("<|im_en", "Yes.", False),
        ("<\uff5ctool\u2581ca", "Yes.", True),
        ("<thin", "Yes.", False),
        ("<tool_call", "Yes.", True),
        ("[TOOL_CA", "Yes.", False),
        ("<|start|>", "Yes.", False),
        ("<|start|>assistant", "Yes.", False),
        ("<|start|>assistant to=functions.order", "Yes.", True),
        ("<em", "Yes. less than em", False),
        ("{", "Yes.", False),
    ],
)
def test_a_marker_that_the_end_of_the_reply_has_cut_is_not_said(
    end: str, said: str, has_call: bool
) -> None:
    words, seen = said_of(f"Yes.{end}")

    assert (words.replace("Yes.less", "Yes. less"), seen) == (said, has_call)


@pytest.mark.parametrize("text", ["analysis", "analysis of prices", "functions.x", "<|start|>Yes"])
def test_a_word_that_may_begin_a_marker_is_said_if_it_does_not(text: str) -> None:
    assert said_of(text) == said_of(*text) == (text.removeprefix("<|start|>"), False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("analysisWe need to say hi.assistantfinalHello!", "Hello!"),
        ("analysisThey ask.assistantanalysisMore.assistantfinalHello!", "Hello!"),
        ("Yes.assistantcommentary to=user hm", "Yes."),
        ("Hm.</think>Hello!", "Hm. Hello!"),
    ],
)
def test_channels_whose_tokens_were_left_out_are_known_by_their_names(text: str, said: str) -> None:
    assert said_of(text) == said_of(*text) == (said, False)


PARTS = st.sampled_from([
    *(part.format("hidden ") for part in THOUGHTS), *CALLS, *TOKENS, *ORDINARY, "<think>",
    "</think>", "[/THINK]", "<|channel|>", "<|message|>", "<|start|>", "analysisWe need",
    "assistantfinal", "assistantcommentary to=functions.x", "<|", "<｜tool", "[TOOL", "{\"name\":",
    "{" * 9, "<" * 9, "```", "```json", "word ", " ", "\n", "two ", "<!--", "-->",
])  # fmt: skip


@given(parts=st.lists(PARTS, max_size=8), data=st.data())
def test_no_split_changes_what_is_said(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    deltas = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]

    assert said_of(*deltas) == said_of(text) == said_of(*text)


WORST = (
    "<", "<a", "<a ", "<|", "[", "[a", "[a(", "{", '{"', '{"a":', '{"name": "x", ', "{'a': 'it's ",
    "`", "```", "```a", "functions.", "assistantfina", "◁", "-", "<|start|>", "<think>", "word ",
    "a", "1*", "-- ", "](",
)  # fmt: skip


def _seconds(text: str) -> float:
    begun = thread_time()
    SentenceChunker().feed(text)
    return thread_time() - begun


@pytest.mark.parametrize("unit", WORST)
def test_work_is_linear_in_the_text(unit: str) -> None:
    short, long = (unit * (size // len(unit)) for size in (4_096, 32_768))
    small = min(_seconds(short) for _ in range(3))

    assert min(_seconds(long) for _ in range(2)) < 30 * max(small, 0.001)
