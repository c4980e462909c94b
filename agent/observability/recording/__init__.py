"""What happened in a call, kept so that it can be read and played again (`RECORD_CALLS`).

    forms.py        events, facts and actions as JSON, and back
    digests.py      what a model is asked, in short
    recorder.py     an observer that makes chunks of lines of them
    desk.py         writes the chunks to the table, off the speaking path
    reading.py      a record read back
    replay.py       the recorded events in a new `Conversation`, compared
    verdict.py      what a replay has found, as text
    story.py        a call, from its facts and its record
    transcript.py   a call as text
    waterfall.py    where the time of each turn went

A record holds the callers' words: that is what it is for. It is off unless it is asked for, it
expires, and nothing of it is logged. Keys that a caller presses are in it as they are: a way to
mark some of them as sensitive does not exist yet.
"""
