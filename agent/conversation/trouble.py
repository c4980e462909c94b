"""Trouble with the model: from an apology to a goodbye (practice section 10).

| the model has failed | the caller hears | then |
|---|---|---|
| once | an apology, or that the thread was lost | it is the caller's turn |
| again, and a person can be reached | that a person takes over | the call goes there |
| again | that we are still trying | it is asked once more after a while |
| again, after half a minute | a goodbye | the call ends |

Failures count in a row: an answer forgives them all. A caller who has heard the apology says it
again; after that nothing the caller could say would help, so we try by ourselves.
"""

from __future__ import annotations

from agent.conversation.usecase import Phrases


class Trouble:
    """How often the model has failed since its last answer."""

    def __init__(self) -> None:
        self._failures = 0
        self._is_out_of_patience = False

    @property
    def has_just_begun(self) -> bool:
        """It has failed once."""
        return self._failures == 1

    def grow(self) -> None:
        """It has failed once more."""
        self._failures += 1

    def is_hopeless(self, *, can_hand_off: bool) -> bool:
        """Somebody else can do better, or it has lasted too long."""
        return can_hand_off or self._is_out_of_patience

    def trying_again(self, phrases: Phrases) -> str:
        """A sentence that asks the caller for patience; from the second failure on."""
        sentences = phrases.trying_again
        return sentences[min(self._failures - 2, len(sentences) - 1)]

    def lose_patience(self) -> None:
        """There is no use in trying again."""
        self._is_out_of_patience = True

    def end(self) -> None:
        """The model has answered."""
        self._failures, self._is_out_of_patience = 0, False
