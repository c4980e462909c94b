"""What models write that is not meant for the caller: one table of markers, each with its source.

A marker is known by its *key*: the text without attributes, name space and letter case, with plain
bars and low lines (also U+FF5C, U+2016, U+2581). `agent.call.markup_filter` applies the table, and:

- a special token (a name in angle brackets with bars) is never words;
- one that names a tool, function or action begins a tool call, and so does such a tag;
- a JSON object begins a tool call if it names a tool and has arguments for it.
"""

from __future__ import annotations

import re
from enum import Enum, auto


class MarkupKind(Enum):
    """What a marker does."""

    OPENS = auto()
    CLOSES = auto()
    CALL = auto()
    """A tool call begins; no words follow in this reply."""
    HEADER = auto()
    """The name of a role or channel follows."""
    AGENT = auto()
    OTHER = auto()
    """What follows belongs to another role: user, system, tool."""
    TURN_END = auto()
    TOKEN = auto()


HIDDEN = {
    "<think>": "</think>",  # DeepSeek-R1: github.com/deepseek-ai/DeepSeek-R1/issues/506
    "<thinking>": "</thinking>",  # Nova: github.com/langchain-ai/langchain-aws/issues/783
    # Claude: njpearman.github.io/2024-09-06/the-claude-artifacts-system-prompt-or-message
    "<antthinking>": "</antthinking>",
    "<reasoning>": "</reasoning>",  # prompted: github.com/vercel/ai/issues/7078
    "<reflection>": "</reflection>",  # prompted, as Reflection 70B
    "<scratchpad>": "</scratchpad>",  # prompted
    # Hermes: docs.vllm.ai/en/v0.18.2/api/vllm/tool_parsers/hermes_tool_parser
    "<scratch_pad>": "</scratch_pad>",
    "<thought>": "</thought>",  # EXAONE Deep
    "[THINK]": "[/THINK]",  # Magistral: github.com/RooCodeInc/Roo-Code/issues/8522
    "◁think▷": "◁/think▷",  # Kimi
    "<|start_thinking|>": "<|end_thinking|>",  # Cohere Command
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1, OpenThinker
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|channel>": "<channel|>",  # Gemma 4: github.com/raullenchai/Rapid-MLX/issues/447
    "[INST]": "[/INST]",  # Mistral, Llama 2: words of the user
    "<!--": "-->",  # HTML
    # gpt-oss without special tokens (github.com/llama-farm/llamafarm/issues/753)
    "analysis": "assistantfinal",
}
"""The opening and the closing marker of what is not for the caller. `<seed:think>` (Seed-OSS:
github.com/CherryHQ/cherry-studio/pull/9498) and `<mm:think>` (MiniMax) have the key `<think>`."""

_FORMAT = "<|constrain|>"
_MARKERS = {
    # Harmony, github.com/openai/openai-cookbook/blob/main/articles/openai-harmony.md
    # and ChatML, Llama 3, Gemma, Kimi
    MarkupKind.HEADER: f"<|start|> <|channel|> {_FORMAT} <|im_start|> <|start_header_id|>"
    " <start_of_turn> <|turn|>",
    # Kimi, Phi, GLM, DeepSeek, EXAONE, Cohere
    MarkupKind.AGENT: "<|im_assistant|> <|assistant|> <|chatbot_token|>",
    MarkupKind.OTHER: "assistantcommentary assistantanalysis <|im_user|> <|im_system|> <|user|>"
    " <|user_token|> <|system|> <|system_token|> <|observation|>",
    # the ends of a turn of many families
    MarkupKind.TURN_END: "<end_of_turn> <turn|> </s> <eos> <|eot_id|> <|eom_id|> <|end|>"
    " <|im_end|> <|return|> <|endoftext|> <|endofturn|> <|end_of_text|> <|end_of_turn|>"
    " <|end_of_turn_token|> <|end_of_sentence|>",
    MarkupKind.TOKEN: "<s> <bos> <pad> <unk> <<SYS>> <</SYS>> [SYSTEM_PROMPT]",
    # Mistral: docs.vllm.ai/en/latest/api/vllm/tool_parsers/mistral_tool_parser; LM Studio
    MarkupKind.CALL: "<|call|> [TOOL_CALLS] [TOOL_CALL] [TOOL_REQUEST] [FUNCTION_CALL] [ARGS]"
    " [CALL_ID] [TOOL_RESULTS] [TOOL_RESULT] [AVAILABLE_TOOLS]",
}
_KINDS = {key: kind for kind, keys in _MARKERS.items() for key in keys.split()}
_KINDS |= dict.fromkeys(HIDDEN, MarkupKind.OPENS)
_KINDS |= dict.fromkeys(HIDDEN.values(), MarkupKind.CLOSES)

_CALL_TAG = re.compile(r"<(?:\w*tool\w*|\w*function\w*|invoke|parameter|arg_key|arg_value)>")
"""Hermes, Qwen, GLM, MiniMax and Nemotron (docs.vllm.ai/en/latest/features/tool_calling), Claude
(github.com/BenedictKing/ccx/issues/60)."""
_CALL_TOKEN = re.compile(
    r"<\|?[^<>]*(?:tool|function|plugin|action|invoke|python_tag|dsml)[^<>]*\|?>"
)
"""Llama (github.com/meta-llama/llama-models/issues/266), Kimi
(github.com/NousResearch/hermes-agent/issues/24534), DeepSeek
(github.com/lsdefine/GenericAgent/issues/804)."""
_ANSWERS = frozenset({"assistant", "model", "final", "ai", "bot", "chatbot"})
_ROLE = re.compile(
    r"\s*(?P<name>assistant|model|chatbot|bot|ai|final|analysis|commentary|thought|user|human"
    r"|system|developer|tool|ipython|observation|functions(?:\.\w+)?)?(?![A-Za-z])"
    r"(?:\s+to=(?P<recipient>[\w.]+))?",
    re.IGNORECASE,
)
HEADER_CHARACTERS = 64


def kind_of(key: str) -> MarkupKind | None:
    """What a marker does; None for HTML tags and any other text."""
    if key in _KINDS:
        return _KINDS[key]
    if "|" in key:
        return MarkupKind.CALL if _CALL_TOKEN.fullmatch(key) else MarkupKind.TOKEN
    return MarkupKind.CALL if _CALL_TAG.fullmatch(key) else None


def is_beginning(text: str) -> bool:
    """Whether the end of a reply looks like a marker that was cut off."""
    lower = text.lower()
    return len(text) > 3 and any(
        key.startswith((lower, text)) for key in _KINDS if not key[0].isalpha()
    )


def header(key: str, text: str) -> tuple[int, MarkupKind]:
    """The length and meaning of what follows a header: ` assistant to=functions.order`."""
    if key == _FORMAT:
        return len(text) if text.strip().isalnum() else 0, MarkupKind.TOKEN
    found = _ROLE.match(text)
    if not found or not found["name"]:
        return 0, MarkupKind.TOKEN
    recipient = found["recipient"]
    if recipient and recipient not in {"user", "assistant", "all"}:
        return found.end(), MarkupKind.CALL
    is_answer = found["name"].lower() in _ANSWERS
    return found.end(), MarkupKind.AGENT if is_answer else MarkupKind.OTHER


LONE_END = re.compile(
    r"</(?:\w+:)?(?:think|thinking|thought|reasoning)\s*>|\[/THINK\]|◁/think▷"
    r"|<\|END_THINKING\|>|<channel\|>|assistantfinal",
    re.IGNORECASE,
)
"""The end of thoughts whose beginning may be in the prompt template."""
LONGEST_LONE_END = 32
OPENING = re.compile(
    r"<(?:\w+:)?(?:think|thinking|thought|reasoning)\s*>|\[THINK\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|channel>",
    re.IGNORECASE,
)

STARTS_THINKING = re.compile(
    # github.com/deepseek-ai/DeepSeek-R1/issues/506, github.com/vllm-project/vllm/issues/13125
    r"deepseek[-_.]?r1|r1-distill"
    # github.com/xorbitsai/inference/issues/3036
    r"|\bqwq"
    # github.com/Cerebras/cerebras-cloud-sdk-python/issues/10
    r"|qwen.*thinking"
    # github.com/sigoden/aichat/issues/1528
    r"|qwen-?3[._][5-9]"
    # docs.vllm.ai/en/stable/features/reasoning_outputs, parser minimax_m2_append_think
    r"|minimax[-_.]?m2",
    re.IGNORECASE,
)
"""Names of models whose prompt template begins the thoughts, so that they write only the end."""

_NAMES = r"name|function|function_name|tool|tool_name|action|recipient_name"
_ARGUMENTS = (
    r"arguments|parameters|args|kwargs|input|params|action_input|tool_input|tool_args"
    r"|function_args"
)
_JSON_PART = re.compile(
    rf"""["'](?P<key>{_NAMES})["']\s*:\s*(?=["'][\w.:/-]+["'])"""
    rf"""|["'](?P<arguments>{_ARGUMENTS})["']\s*:\s*(?=[{{\["'nN])"""
    r"""|["'](?P<calls>tool_calls|function_call|tool_uses)["']\s*:\s*(?=[{\[])"""
    r"""|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?P<cut>["'])|(?P<open>[{\[])|(?P<close>[}\]])""",
    re.DOTALL,
)
CUT_CALL = re.compile(rf"""\{{\s*["'](?:{_NAMES})["']\s*:\s*["'][\w.:/-]+["']""")


def read_json(text: str) -> tuple[int | None, bool]:
    """The end of the object at the beginning of a text, if it is there, and whether it is a call.

    Shapes are those of github.com/ollama/ollama/issues/13519 (Llama), and of clients that ask for a
    call in words.
    """
    objects: list[set[str]] = []
    for part in _JSON_PART.finditer(text):
        what = part.lastgroup
        if what == "open":
            objects.append(set())
        elif what == "close":
            objects.pop()
            if not objects:
                return part.end(), False
        elif what == "cut":
            break
        elif what is not None:
            objects[-1].add(what)
            if "calls" in objects[-1] or {"key", "arguments"} <= objects[-1]:
                return None, True
    return None, False
