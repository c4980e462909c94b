"""English."""

from __future__ import annotations

import re

from agent.call.languages.turn_words import TurnWords, digits, phrases, words

ENGLISH = TurnWords(
    digits=digits(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen",
        {
            "oh": "0",
            "o": "0",
            "nought": "0",
            "twenty": "20",
            "thirty": "30",
            "forty": "40",
            "fifty": "50",
            "sixty": "60",
            "seventy": "70",
            "eighty": "80",
            "ninety": "90",
            "hundred": "00",
            "thousand": "000",
        },
    ),
    articles=words("one"),
    repeated={"double": 2, "triple": 3},
    joints=words("and then dash hyphen minus area code is it's plus"),
    hesitations=words("um umm ummm uh uhm er erm hmm hm ah basically"),
    open_words=words(
        "a an the my your his our their every and or but because cause if when although unless"
        " since to of for with at from by into without between until than as per near very quite"
        " is are was were i'd i'll i'm i've we'd we'll we're you're they're that's it's"
        " there's what's he's she's"
        " let's such plus i we they he she same other next new different maybe also just"
    ),
    transitive=words(
        "get find make take give send bring put add want need prefer include contain includes has"
        " contains costs schedule change cancel"
    ),
    stranded=words("is are was were to of for with at from by into than near"),
    auxiliaries=words("be been have has had can could will would should may might must"),
    subjects=words("i you he she we they"),
    answers=words("yes yeah yep no nope sure"),
    lead_ins=phrases(
        "i would like|i'd like|i want|i need|i'll have|i'll take|i will have|i will take|can i get"
        "|can i have|could i get|could i have|may i have|let me get|let me have|give me|get me"
        "|i'm looking|i am looking|i wanted|we want|we need|we would like|we'd like|i was wondering"
        "|i'm calling|i am calling|i'm trying|i am trying|can you|could you|would you|do you"
        "|do you have|are you|is there|are there|tell me|how about|what about|i think|i believe"
        "|i guess|i am|we are|they are|there is|and so|okay so|so like|calling about|asking about"
        "|it is|that is|this is|my name is|name is|with extra"
        "|make it|make that|i don't|i do not|i can't|i didn't|i was|we were|you know|i mean"
        "|let me see|let me think|let's see|let me check|let me look|sort of|kind of|a couple of"
        "|one more|can you like|what's it called|what is it called|what's the name|how do you say"
    ),
    corrections=phrases(
        "no wait|wait no|oh wait|actually|actually no|no actually|sorry no|no sorry"
        "|scratch that|i mean|or rather|rather|make that|or maybe|no make that|i take that back"
        "|let me start over|let me start again|correction|sorry|wait|i meant|or no|oh sorry"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:like|love|want|wanted|need|trying|calling|hoping) to"
        r" (?:order|ask|ask you|ask you something|know|know whether|know if|change|book|report)"
        r"|(?:a|one|another|quick|small) (?:question|problem|issue)(?: (?:about|with) [\w ]+)?"
        r"|the (?:thing|problem|question) is(?: that)?|what i need is|here is the thing)"
    ),
    openers=frozenset(
        phrases(
            "hi|hello|hey|hi there|hello there|hey there|good morning|good afternoon|good evening"
            "|yes hi|yes hello|yeah hi|hi yes|hello yes|oh hi|okay so|ok so|yes so|yeah so|well"
            "|okay well|so|all right so|alright so|um hi|hi um|hello um|hi good morning"
            "|hi good afternoon|hi how are you"
        )
    ),
    consents=frozenset(
        phrases(
            "yes|yeah|yep|sure|okay|ok|yes sure|yeah sure|okay sure|of course|yes please|right"
            "|alright|all right|sure thing|certainly|absolutely"
        )
    ),
    before_clauses=words(
        "and but so or because if yes yeah yep no nope sure hi hello hey okay ok well um uh"
        " actually then also please now today think thanks you morning afternoon evening there"
        " alright right plus ah oh hmm"
    ),
    questions=words("what which who whose when where why how"),
    conditions=phrases(
        "because|if|when i|when we|when you|while|although|since|whenever|as soon as"
    ),
    introduces=re.compile(
        r"(?:(?:hi|hello|hey|yes|yeah|good \w+|there) )*"
        r"(?:this is|(?:my|the) name is|my name's|(?<=hi )i'm|(?<=hello )i'm) [a-z']+(?: [a-z']+)?"
    ),
    phrase_starts=words("for at with on in to from by about near without some"),
    before_phrases=words("it's that's it is that and so yes yeah just maybe"),
    courtesies=words("please thanks thank you"),
    offers_help=re.compile(
        r"\b(?:(?:how|what) (?:can|may|could) i (?:help|do|be|get)|anything else|what else"
        r"|be of (?:use|help)|can i help)\b"
    ),
    asks_name=re.compile(r"\bnames?\b"),
    asks_openly=re.compile(
        r"\b(?:what|which|where|when|who|how (?:can|may|many|much|would|do|should|big|large|long)"
        r"|(?:can|could|may) (?:i|we|you)(?: please)? (?:have|get|take|tell|give|say|spell|repeat)"
        r"|(?:tell|give) (?:me|us)|need (?:your|the|a))\b"
    ),
    asks_number=re.compile(
        r"\b(?:numbers?(?! of (?!your|the|my))|digits?|zip|postal|postcode|pin|code"
        r"|extension|phone|telephone)\b"
    ),
    names_number=re.compile(
        r"\bmy (?:\w+ ){0,2}(?:number|zip|pin|code|phone|cell)\b|\bnumber\b.*(?:'s| is)\b"
        r"|\breach me (?:at|on)\b|\b(?:order|account|card) number\b"
    ),
    asks_phone=re.compile(
        r"\b(?:phone|telephone|mobile|cell|call ?back|(?:reach|call) (?:you|me)|(?:my"
        r"|your) number)\b"
    ),
    asks_address=re.compile(r"\b(?:address|street|deliver(?:ed)? (?:it |that )?to)\b"),
    asks_spelling=re.compile(r"\b(?:spell|spelled|spelling|letter by letter|e-?mail)\b"),
    nods=frozenset(
        phrases(
            "mm|mhm|mmhm|mm hm|mm hmm|hmm|uh huh|uhhuh|aha|ah|oh|ok|okay|right|yeah|yep"
            "|yup|yes|sure"
            "|i see|got it|alright|all right|good|great|nice|cool|perfect|lovely|fine|exactly"
            "|sounds good|makes sense|of course|wonderful|interesting|very good|that's good"
            "|sounds great|that makes sense|i understand|understood|gotcha|true|wow"
        )
    ),
    moment=re.compile(
        r"(?:(?:um|uh|oh|yes|yeah|okay|ok|sure|sorry|please|just|well) )*"
        r"(?:(?:can|could|would) you (?:please )?)?"
        r"(?:hold on|hang on|wait|one (?:moment|second|sec|minute)|bear with me|just (?:a|one) \w+"
        r"|give me (?:a|one|just a) \w+|a (?:moment|second|minute)|let me (?:check|look"
        r"|see|get|find)"
        r"|hold the line)"
        r"(?: (?:a|one|for a|for one|just a) (?:moment|second|sec|minute|bit))?(?: please)?"
        r"(?: (?:i(?:'m \w+ing| am \w+ing|'ll| will| need to| have to| must| just| gotta"
        r"| got to)|let me|while i"
        r"|some\w+|my|the door) .*)?"
    ),
    promises=re.compile(
        r"\b(?:(?:i|we|you)(?:'ll| will| shall| am going to| are going to)"
        r" (?!check|look|see|find|try|be happy|be glad|let|have a look)"
        r"|(?:i|we|i've|we've|is|are|was|been|all|now|already)(?: (?:have|just|now|been))?"
        r" (?:booked|ordered|placed|sent|saved|noted|reserved|confirmed|cancell?ed|changed"
        r"|scheduled|added|removed|updated|paid|refunded)|promise|guarantee)\b"
    ),
    addresses=re.compile(
        r"^\W*(?:(?:i'm|i am|we're|we are) (?:so |very |really )?(?:sorry|afraid|unable|an ai|just)"
        r"|sorry|my apologies|i (?:apologi[sz]e|can't|cannot|can not|won't|do not|don't)"
        r"|unfortunately,? i|as an? (?:ai|language)|hello|hi|hey|thank you|thanks|you're welcome"
        r"|how (?:can|may) i)\b|\byou(?:r|rs)?\b[^.?!]*\?\W*$"
    ),
    phone_digits=10,
    lengths={"zip": 5, "card number": 16, "credit card": 16, "last four": 4, "last 4": 4},
)
