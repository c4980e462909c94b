"""English."""

from __future__ import annotations

import re

from agent.call.answer_kind import AnswerKind
from agent.call.languages.turn_words import (
    TurnWords,
    digits,
    numbers,
    phrases,
    words,
)

_UNIT = r"(?:quick |little )?(?:moment|second|sec|minute|min|bit)s?"

_PERSON = (
    r"(?:(?:an?|the|your|some|any|another) )?"
    r"(?:(?:real|live|living|actual|human|different|other) )*"
    r"(?:person|human(?: being)?|(?:customer (?:service|support|care) )?(?:agent"
    r"|representative|rep)|operator|manager|supervisor|employee|attendant|receptionist"
    r"|customer (?:service|support|care)|member of staff|staff(?: member)?|front desk"
    r"|reception)"
)
_SOMEONE = (
    rf"(?:{_PERSON}|(?:real |live )?(?:humans|people)"
    r"|some(?:one|body)(?: (?:else|real|human|in charge|there))?)"
)
_LEAD = (
    r"(?:(?:um|uh|hi|hello|hey|yes|yeah|ok|okay|so|well|please|sorry|look|listen|just|but|and|then"
    r"|actually|excuse me) )*"
)
_TAIL = r"(?: (?:please|now|right now|instead|thanks|thank you|directly))*"
_MAY_I = (
    r"(?:i(?:'d| would)? (?:really )?(?:just )?"
    r"(?:want|wanna|need|like|wish|love|prefer|rather)(?: to)?"
    r"|(?:can|could|may) i(?: please| just)?|(?:just )?let me|is it possible to|how (?:can|do) i)"
)

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
    sums={},
    articles=words("one"),
    repeated={"double": 2, "triple": 3},
    joints=words("and then dash hyphen minus slash area code is it's plus number letter capital"),
    spelling_aids=(("as", "in"), ("like", "in"), ("for",), ("like",)),
    spelling_marks=words("apostrophe hyphen dash capital space with"),
    email_marks=words("at dot underscore"),
    quantities=words(
        "in at by around about under over during than since until before after year of most"
    ),
    streets=re.compile(
        r"\b(?:street|road|avenue|lane|drive|court|boulevard|way|square|terrace|close|highway|route"
        r"|st|rd|ave|blvd|parkway)\b"
    ),
    hesitations=words("um umm ummm uh uhm er erm hmm hm ah basically"),
    function_words=words(
        "the and you is are what would your with for this that have can please thank it"
    ),
    open_words=words(
        "a an the my your his our their every and or but because cause if when although unless"
        " since to of for with at from by into without between until than as per near very quite"
        " is are was were i'd i'll i'm i've we'd we'll we're you're they're that's it's"
        " there's what's he's she's whether whose"
        " under on in which let's such plus i we they he she same other next new different"
        " maybe also just"
    ),
    transitive=words(
        "get find make take give send bring put add want need prefer include contain includes has"
        " contains costs schedule change cancel"
    ),
    stranded=words(
        "is are was were to of for with at from by into than near on in under i we they he she"
    ),
    auxiliaries=words(
        "be been have has had can could will would should may might must don't can't didn't won't"
        " is are was were"
    ),
    subjects=words("i you he she we they"),
    answers=words("yes yeah yep no nope sure"),
    whole=frozenset(phrases("how are you|who are you|i'd love to|maybe i will|thank you")),
    wishes=words("like love want wanted need going trying hoping have prefer"),
    lead_ins=phrases(
        "i would like|i'd like|i want|i need|i'll have|i'll take|i will have|i will take|can i get"
        "|can i have|could i get|could i have|may i have|let me get|let me have|give me|get me"
        "|i'm looking|i am looking|i wanted|we want|we need|we would like|we'd like|i was wondering"
        "|i'm calling|i am calling|i'm trying|i am trying|can you|could you|would you|do you"
        "|do you have|are you|is there|are there|tell me|how about|what about|i think|i believe"
        "|i guess|i am|we are|they are|there is|and so|okay so|so like|calling about|asking about"
        "|it is|that is|this is|my name is|name is|with extra"
        "|make it|make that|i was|we were|you know|i mean"
        "|let me see|let me think|let's see|let me check|let me look|sort of|kind of|a couple of"
        "|one more|place that|one that|something that|anything that|somewhere that|restaurant"
        " that|if that|hope that|id like|would like|scratch that|strike that|my mistake|let me"
        " change that|i meant|first of all"
        "|can i|could i|may i|can we|could we|should we|i'll go with|i will go with|do you know"
        "|could you please|can you please|could you tell me|can you tell me|i was thinking|i'd"
        " love|would it be possible|is it possible"
        "|what was it again|instead of|it says|i said|can you like|what's it called|what is it"
        " called|what's the name|how do you say"
    ),
    corrections=phrases(
        "one sec|one second|one moment|a second|let me see|let me think|just a second|no wait"
        "|wait no|oh wait|hold on|hang on|no no|no not|er no|actually|actually no|no actually"
        "|sorry no|no sorry"
        "|scratch that|i mean|or rather|er rather|uh rather|um rather|make that|or maybe|no"
        " make that|i take that back"
        "|let me start over|let me start again|correction|sorry|wait|i meant|or no|oh sorry"
        "|pardon|my mistake|strike that|oh no|no i mean"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:like|love|want|wanted|need|trying|calling|hoping) to"
        r" (?:order|ask|ask you|ask you something|know|know whether|know if|change|book|report)"
        r"|(?:a|one|another|quick|small) (?:question|problem|issue)(?: (?:about|with) [\w ]+)?"
        r"|(?:the|my|another|one) (?:thing|problem|question|issue)\b.* (?:is|was)(?: that)?"
        r"|what i\b.* (?:is|was)(?: that)?|here is the thing"
        r"|no not (?:\w+ ){0,3}\w+)|instead of (?:\w+ ){0,2}\w+|not (?:the|with) (?:\w+ )?\w+"
        r"|[\w' ]+(?<!think)(?<!hope)(?<!guess)(?<!afraid)(?<!say)(?<!suppose)(?<!do) so"
    ),
    topics=re.compile(
        r"(?:(?:so|and|um|uh|well) )*(?:(?:my|our) \w+|my \w+'s order|the problem"
        r"|(?:the|my) (?:order|delivery|table|reservation)(?: from \w+| for \w+)?"
        r"|one of (?:them|the \w+)"
        r"|(?:we|i) (?:(?:was|were) (?:there|here|at|in)|came|ordered|booked)\b(?: \w+){0,5}"
        r"|the (?:first|second|third|other|last) one|first of all)"
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
    asks={
        AnswerKind.EMAIL: re.compile(r"\be-?mail\b"),
        AnswerKind.SPELLING: re.compile(r"\b(?:spell|spelled|spelling|letter by letter)\b"),
        AnswerKind.DATE: re.compile(r"\b(?:date of birth|birth ?date|birthday|you born)\b"),
        AnswerKind.ADDRESS: re.compile(
            r"\b(?:address|(?:your|which|what|the) street|house number|deliver(?:ed)? (?:it "
            r"|that |this )?to"
            r"|where .*\b(?:deliver|sent|send|bring)\b|where (?:do|are) you (?:liv|located)\w*"
            r"|you are located|which address)\b"
        ),
        AnswerKind.PHONE: re.compile(
            r"\b(?:phone|telephone|mobile|cell|call ?back|(?:reach|call) (?:you|me)|(?:my|your)"
            r" (?:number|digits)|contact number|number .*\b(?:call|reach|calling|text)\b)"
        ),
        AnswerKind.NUMBER: re.compile(
            r"\b(?:numbers?(?! of (?!your|the|my))|digits?|zip|postal|postcode|pin|code|iban"
            r"|extension|reference|member id|plate|i ?d)\b"
        ),
        AnswerKind.NAME: re.compile(r"\b(?:names?|am i speaking|who is (?:this|calling))\b"),
    },
    asks_openly=re.compile(
        r"\b(?:what|which|where|when|who|how (?:can|may|many|much|would|do|should|big|large|long)"
        r"|(?:can|could|may) (?:i|we|you)(?: please)? (?:have|get|take|tell|give|say|spell|repeat)"
        r"|(?:tell|give) (?:me|us)|need (?:your|the|a))\b"
    ),
    has_town_last=False,
    names_number=re.compile(
        r"\bmy (?:\w+ ){0,2}(?:number|zip|pin|code|phone|cell|id)\b|\bnumber\b.*(?:'s| is)\b"
        r"|\b(?:reach|call|text) me (?:back )?(?:at|on)\b|\b(?:order|account|card|phone) number\b"
        r"|\b(?:order|invoice|booking|reservation|reference|tracking|policy|case|ticket"
        r"|confirmation|serial|member|customer|contact)(?: (?:number|id|code|no))?(?: (?:is"
        r"|it's))?$"
    ),
    negations=words("not no don't can't didn't won't haven't isn't nothing cannot unfortunately"),
    apologies=words("sorry"),
    nods=frozenset(
        phrases(
            "mm|mhm|mmhm|mm hm|mm hmm|hmm|uh huh|uhhuh|aha|ah|oh|ok|okay|right|yeah|yep"
            "|yup|yes|sure"
            "|i see|got it|alright|all right|good|great|nice|cool|perfect|lovely|fine|exactly"
            "|sounds good|makes sense|of course|wonderful|interesting|very good|that's good"
            "|very nice|that's fine|yeah that's fine|no problem|fair enough|i know|oh really"
            "|really|got you"
            "|absolutely|definitely|good to know|sure thing|thanks|thank you|totally|uh huh|mmm|yea"
            "|sounds great|that makes sense|i understand|understood|gotcha|true|wow"
        )
    ),
    moment=re.compile(
        r"(?:(?:um|uh|oh|yes|yeah|okay|ok|sure|sorry|please|just|well|hmm|and) )*"
        r"(?:(?:can|could|would) you (?:please )?)?"
        rf"(?:(?:hold|hang) on|hold(?: the line| that thought)?|wait|bear with me|please wait"
        rf"|(?:(?:give me|gimme|i need|i'll need|wait|hold on|hang on|just)(?: for)?(?: just)? )?"
        rf"(?:a|one|just a|just one|two|a few|another) {_UNIT}|(?:i'll )?be right back|stay on"
        rf" the line"
        r"|let me (?:check|look|see|get|find|grab|ask|think)(?: (?:with|for|at|in|it|my|that"
        r"|up)\b.*)?)"
        rf"(?: (?:for )?(?:just )?(?:a|one) {_UNIT})?(?: (?:to \w+(?: \w+)*|please|okay))?"
        r"(?: (?:i(?:'m \w+ing| am \w+ing|'ll| will| need to| have to| must| just| gotta| got to)"
        r"(?! (?:order|change|cancel|ask you|talk|speak|take|have))"
        r"|while i|let me (?:check|look|see|get|find|grab|ask)(?! (?:the|some|two|three|you))"
        r"|(?:some(?:one|body)|my|the (?:door|dog|baby)|there)\S*)\b.*"
        r"| let me (?:check|look|see|find it))?"
    ),
    phone_digits={"": 10, "us": 10, "ca": 10, "au": 10, "in": 10, "gb": 11},
    lengths=numbers(
        {
            "zip": 5,
            "last four": 4,
            "last 4": 4,
            "security code": 3,
            "card number": 16,
            "credit card": 16,
            "number on your card": 16,
            "front of the card": 16,
            "sort code": 6,
        }
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
    person=re.compile(
        rf"{_LEAD}(?:no )*{_LEAD}(?:"
        rf"(?:{_MAY_I} )?(?:please )?(?:speak|talk|talking|speaking) (?:to|with) {_SOMEONE}"
        rf"|(?:{_MAY_I} )?be (?:connected|transferred|put through)(?: (?:to|with) {_SOMEONE})?"
        r"|(?:(?:can|could|would|will) you )?(?:please )?(?:connect|transfer|forward|put|pass) me"
        rf"(?: through)?(?: over)? (?:to|with) {_SOMEONE}"
        r"|(?:(?:can|could|would|will) you )?(?:please )?(?:connect me|transfer me|put me through)"
        rf"|(?:(?:can|could|would|will) you )?(?:please )?(?:get|give|find) me {_PERSON}"
        rf"|{_MAY_I} (?:have |get )?{_PERSON}"
        rf"|is there {_SOMEONE} (?:that )?(?:i|we) (?:can|could) (?:speak|talk) (?:to|with)"
        rf"){_TAIL}"
    ),
    person_alone=re.compile(rf"{_LEAD}{_PERSON}{_TAIL}(?: {_LEAD}{_PERSON}{_TAIL}){{0,3}}"),
    about_persons=re.compile(
        r"\b(?:persons?|people|humans?|someone|agents?|operators?|representatives?|managers?|guests?"
        r"|who|whom|how many|jobs?|occupation|profession|living|work|role|position|title)\b"
    ),
    waits=re.compile(
        r"(?:(?:um|uh|well|yes|yeah|no|sure|ok|okay|alright|all right|fine|no problem|that's fine"
        r"|that's okay|please|i think|i guess) )*"
        r"(?:(?:i'll|i will|i can|i'd like to|i'd rather|i would rather|we'll|let's|let me) )?"
        r"(?:just )?(?:(?:keep|go on|continue) )?(?:wait|waiting|hold|holding|hold on|trying|stay"
        r"|stay on the line)(?: (?:please|then|on|a bit|a little|longer|for it|here|thanks"
        r"|thank you))*"
    ),
    call_back=re.compile(
        rf"{_LEAD}(?:no )*{_LEAD}"
        r"(?:(?:can|could|would|will) (?:you|someone)(?: please)? |you can |have someone )?"
        r"(?:(?:i'd|i would) (?:like|prefer|rather have) |i (?:want|prefer|need) |the |a )*"
        r"(?:(?:give me )?a )?(?:you to )?(?:call ?back|(?:call|ring|phone) me(?: back)?"
        r"|to be called back|be called back)"
        r"(?: (?:please|then|later|instead|tomorrow|today|thanks|thank you|would be (?:good|great"
        r"|fine|better|nice)|when (?:you|it) \w+(?: \w+)?))*"
    ),
)
