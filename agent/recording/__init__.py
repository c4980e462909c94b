"""What happened in a call, kept so that it can be read and played again (`RECORD_CALLS`).

    forms.py        events, facts and actions as JSON, and back
    recorder.py     an observer that makes chunks of lines of them
    desk.py         writes the chunks to the table, off the speaking path
    reading.py      a record read back
    replay.py       the recorded events in a new `Conversation`, compared
    transcript.py   a call as text, from its facts
    waterfall.py    where the time of each turn went

A record holds the callers' words: that is what it is for. It is off unless it is asked for, it
expires, and nothing of it is logged. Keys that a caller presses are in it as they are: a way to
mark some of them as sensitive does not exist yet.
"""
