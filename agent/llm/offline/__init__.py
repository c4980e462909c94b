"""The rule language of the offline model.

A script is JSON, `offline.json` in the folder of a use case. It declares

- what to listen for: `vocabularies` (values with synonyms), `intents` (patterns), `slots` (values
  filled from the caller's words), `lines` (lists such as an order, see `dictation`) and `prompt`
  (patterns that read the system prompt);
- what to say: `questions`, `phrases`, and the lists `fallback`, `trouble` and `done`;
- what to do: `calls` (arguments of each tool), `updates` (on every turn slots are set or cleared,
  and what a tool told is read into a list of lines) and `rules`, of which the first whose `when`
  and `hears` hold and whose call is offered answers. Only rules with the condition `tool` answer a
  tool result, or else `trouble` or `done`.

A **path** such as `slot.size` or `done.PlaceOrderFunction.message` looks a value up in what is
known. A **condition** is `[not] path`, or `path = value` (also `!=`, `<`, `>`); all conditions of a
list must hold. A **template** is a sentence with fields `{path|filter|...}`; a part in square
brackets is left out when a field in it is empty. A **pattern** is a list of regular expressions,
any of which is found as whole words in the text as `words.normalise` gives it.

Everything is parsed and checked at load, so that a name mistyped in a script stops the start and
not a call. Rejected: a general expression language. The scripts need comparing and joining; more
would have to be documented, tested and sandboxed.
"""
