"""German."""

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

_UNIT = r"(?:moment(?:chen|e)?|augenblick|sek(?:unden?|ündchen)|min(?:uten?|ütchen))"
_ONES = ("ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
_TENS = (
    "zwanzig",
    "dreißig",
    "vierzig",
    "fünfzig",
    "sechzig",
    "siebzig",
    "achtzig",
    "neunzig",
)

_PERSON = (
    r"(?:(?:eine[nmr]?|ein|de[nmr]|die|das|ihre[nmr]?|irgendeine[nmr]?) )?"
    r"(?:(?:echt|richtig|wirklich|lebendig|ander|menschlich|real)e[nmrs]? )*"
    r"(?:mensch(?:en)?|person|(?:kunden)?berater(?:in)?|mitarbeiter(?:in|n)?|vermittlung|zentrale"
    r"|kundendienst|kundenservice|kundenbetreuung|chef(?:in)?|vorgesetzte[nmr]?|agent(?:en|in)?"
    r"|sachbearbeiter(?:in)?|ansprechpartner(?:in)?|operator|rezeption|leuten?)"
)
_SOMEONE = rf"(?:{_PERSON}|(?:irgend)?jemand(?:en|em)?(?: (?:ander|echt|richtig)e[nms])?)"
_LEAD = (
    r"(?:(?:äh|ähm|hallo|guten tag|ja|ok|okay|also|bitte|entschuldigung|hören sie|aber|und|dann"
    r"|nur) )*"
)
_SOFT = r"(?:(?:bitte|gern|gerne|lieber|jetzt|doch|mal|nur|einfach|sofort|direkt) )*"
_TAIL = r"(?: (?:bitte|jetzt|sofort|danke))*"
_MAY_I = (
    r"(?:ich (?:will|möchte|muss|würde|würd|wünsche)|(?:kann|könnte|darf|dürfte) ich"
    r"|lassen sie mich)"
)

GERMAN = TurnWords(
    digits=digits(
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn"
        " fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig",
        {
            "zwo": "2",
            "ein": "1",
            "hundert": "00",
            "tausend": "000",
        }
        | {ten: f"{value}0" for value, ten in enumerate(_TENS, 2)}
        | {
            f"{one}und{ten}": f"{tens}{ones}"
            for tens, ten in enumerate(_TENS, 2)
            for ones, one in enumerate(_ONES, 1)
        },
    ),
    sums={},
    articles=words("ein"),
    repeated={"doppel": 2, "zweimal": 2, "dreimal": 3, "zwei mal": 2, "drei mal": 3, "doppelt": 2},
    joints=words(
        "und am ende dann strich minus bindestrich schrägstrich vorwahl plus die buchstabe zahl"
    ),
    spelling_aids=(("wie",),),
    spelling_marks=words("strich minus bindestrich mit punkt"),
    email_marks=words("at punkt ät klammeraffe unterstrich"),
    quantities=words(
        "in um ab seit etwa circa über unter von bis mindestens höchstens gegen jahr maximal"
    ),
    streets=re.compile(
        r"(?:stra(?:ß|ss)e|weg|gasse|allee|platz|ufer|damm|markt|ring|chaussee)\b|\bam \w+|\bstr\b"
    ),
    hesitations=words("äh ähm hm hmm ah also naja na ehm tja öh"),
    function_words=words(
        "der die das und ist nicht ich sie ein eine mit für auf wie ihre bitte möchten"
    ),
    open_words=words(
        "der die das den dem des ein eine einen einem einer mein meine meinen meiner dein ihr"
        " unser und oder aber weil wenn dass ob als von für mit ohne bei nach zum zur in im am"
        " unter zwischen bis seit sehr ganz wie gegen kein keine keinen außerdem sondern statt"
        " ihre ihren"
        " eure euer paar"
    ),
    stranded=words("das"),
    transitive=words("brauche suche nehme nehm bräuchte"),
    auxiliaries=words("ist sind bin möchte würde wäre hätte war waren"),
    subjects=words("ich du er sie wir"),
    answers=words("ja nein doch klar"),
    whole=frozenset(
        phrases("machen sie das|was kostet das|was ist das|ich nehme das|wer ist da|ich glaube ja")
    ),
    wishes=frozenset(),
    lead_ins=phrases(
        "ich möchte|ich möchte gern|ich möchte gerne|ich hätte gern|ich hätte gerne"
        "|ich nehme|ich brauche|ich will|ich würde gern"
        "|ich würde gerne|ich wollte|geben sie mir|können sie|könnten sie|haben sie|gibt es"
        "|mein name ist|ich heiße|meine nummer ist|die nummer ist|meine adresse ist|die adresse ist"
        "|ich suche|ich rufe an wegen|ich glaube|ich denke|moment|mal sehen|lassen sie mich sehen"
        "|nein lieber|ich bräuchte|dann nehm ich|dann nehme ich|kann ich|können wir|könnten wir"
        "|kann man|wäre es möglich"
        "|ich würde gern|wie heißt das noch|wie heißt das|ich dachte|ich weiß nicht ob|doch"
        " lieber|ich meinte"
        "|da hab ich mich vertan|da habe ich mich vertan|ach quatsch|könnten sie mir sagen"
        "|können sie mir sagen"
        "|auf den namen|ich wollte nur mal|ich wollte mal|könnten sie das bitte|könnten sie"
        " bitte|der name ist"
        "|wir sind|das wären|eine gruppe von|und außerdem|außerdem|ich bin|das ist|es ist|das"
        " wäre|und zwar|ich hab"
    ),
    corrections=phrases(
        "eine sekunde|einen moment|lassen sie mich überlegen|mal sehen|nein doch|nein lieber"
        "|ach nein|nein nein|nein nicht|oder besser|doch lieber|verzeihung|ach quatsch"
        "|halt|sorry|nein sorry|moment|nein warte|warte|warten sie|entschuldigung|ich meinte"
        "|nein warten sie"
        "|warte nein|moment nein|nein moment|quatsch|ich meine"
        "|beziehungsweise|besser gesagt|oder nein|entschuldigung nein|korrektur"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:möchte|wollte|würde|hätte) (?:\w+ )?(?:bestellen|fragen|wissen|ändern"
        r"|reservieren)|(?:eine|noch eine|ne) (?:frage|bitte)(?: (?:zu|zur|zum) [\w ]+)?"
        r"|(?:die sache|das problem|das ding) ist(?: dass)?|was ich .* ist|es geht darum"
        r"|ich wüsste gern(?:e)?|nein nicht (?:\w+ ){0,3}\w+)|statt (?:\w+ ){0,2}\w+|doch lieber"
    ),
    topics=re.compile(
        r"(?:(?:und|also|ähm|ja) )*(?:(?:mein|meine|unser|unsere) \w+|(?:eine|einer|eins) davon"
        r"|die (?:bestellung|lieferung|reservierung)(?: von \w+)?"
        r"|(?:der|die|das) (?:erste|zweite|dritte|andere|letzte)|erst mal|erstens"
        r"|(?:wir waren|ich war) (?:\w+ ){1,4}(?:da|dort|bei ihnen)|(?:ich habe|wir haben)"
        r" (?:\w+ ){1,5}bestellt)"
    ),
    openers=frozenset(
        phrases(
            "hallo|guten tag|guten morgen|guten abend|ja hallo|hi|grüß gott|ja guten tag"
            "|hallo guten tag|moin|servus|also|ja also"
        )
    ),
    consents=frozenset(
        phrases("ja|klar|gern|gerne|okay|ok|natürlich|ja gerne|ja klar|ja bitte|sicher|genau")
    ),
    before_clauses=frozenset(),
    questions=words(
        "was welche welcher welches wer wann wo warum wie wieviel wieso woher wohin ob dass"
        " wenn weil"
    ),
    conditions=phrases("wenn|falls|weil|obwohl|sobald|während"),
    introduces=re.compile(
        r"(?:(?:hallo|guten|tag|morgen|abend|ja|hi) )*(?:hier ist|mein name ist|ich heiße|ich bin)"
        r" \w+(?: \w+)?"
    ),
    phrase_starts=words("für um mit am an in auf bei zu zum zur von ohne wegen etwas"),
    before_phrases=words("das ist es ja und also nur"),
    courtesies=words("bitte danke"),
    offers_help=re.compile(
        r"(?:(?:helfen|tun|dienen)\b|noch etwas|was darf|sonst noch|was möchten sie)"
    ),
    asks={
        AnswerKind.EMAIL: re.compile(r"\b(?:e-?mail|mail|mailadresse)"),
        AnswerKind.SPELLING: re.compile(
            r"\b(?:buchstabier|schreibt man|schreiben sie (?:das|sich))"
        ),
        AnswerKind.DATE: re.compile(r"\b(?:geboren|geburts(?:datum|tag))"),
        AnswerKind.ADDRESS: re.compile(
            r"(?:adresse|anschrift|(?:welche|ihre|der) stra(?:ss|ß)e|hausnummer|\bwohin"
            r" .*liefer|\bwo wohn|\bwohin soll)"
        ),
        AnswerKind.PHONE: re.compile(
            r"(?:telefon|handy|mobil|rückruf|zurückrufen|erreichen|ihre nummer\b)"
        ),
        AnswerKind.NUMBER: re.compile(
            r"(?:nummern?|ziffern?|stellen|postleitzahl|\bplz|\bpin|\bcode|durchwahl|\biban"
            r"|kennzeichen|referenz)\b"
        ),
        AnswerKind.NAME: re.compile(r"\b(?:namen?|heißen|mit wem spreche)\b"),
    },
    asks_openly=re.compile(
        r"\b(?:was|welche[rsn]?|wo|wohin|wann|wer|wie|womit|ihre \w*nummer|(?:nennen|geben"
        r"|sagen) sie|brauche)\b"
    ),
    has_town_last=True,
    names_number=re.compile(
        r"\bmeine (?:\w+ ){0,2}\w*(?:nummer|zahl)\b|nummer\b.*(?:ist|lautet)\b"
        r"|(?:zurück|mich an) unter(?: der)?$|\berreichen mich unter|(?:nummer|bestellung"
        r"|rechnung)$"
    ),
    negations=words("nicht nein kein keine keinen nichts leider"),
    apologies=words("entschuldigung verzeihung sorry"),
    nods=frozenset(
        phrases(
            "mm|mhm|mm hm|hm|aha|ah|oh|ja|jaja|ok|okay|gut|genau|ach so|achso|alles klar|klar"
            "|verstehe|ich verstehe|super|prima|schön|stimmt|richtig|sehr gut|gerne|perfekt|toll"
            "|passt|na gut|wunderbar|jep|jo|ach ja|ach okay|ach|schon|ja gut|aha okay|danke"
            "|vielen dank|kein problem"
            "|ja klar|ja genau|ja okay|gut gut|hm hm|interessant|so so|soso|logisch"
            "|einverstanden|jawohl|na klar|in ordnung|sehr schön|klingt gut|das ist gut"
            "|natürlich|verstanden"
        )
    ),
    moment=re.compile(
        r"(?:(?:äh|ähm|ja|ok|okay|oh|entschuldigung|bitte|gut|nur) )*"
        r"(?:(?:können|könnten) sie (?:bitte |mal )?)?"
        rf"(?:(?:(?:geben sie mir|ich brauche|warten sie|warte|nur|noch) )*(?:einen|ein|eine|zwei)?"
        rf" ?(?:ganz )?(?:kleinen |kurzen )?{_UNIT}|(?:warten|warte)(?: sie)?|ganz kurz"
        r"|bleiben sie (?:kurz |bitte )*dran|(?:ich bin )?gleich wieder da"
        r"|kurz (?:warten|dranbleiben)|lassen sie mich (?:kurz |mal |eben |nur )*(?:nach|über"
        r"|schau|such)\w+"
        r"|ich (?:muss|schaue|schau|gucke|guck|hole|hol|suche|such|sehe) (?:nur )?(?:mal|kurz"
        r"|eben) .*)"
        r"(?: (?:mal|bitte|warten|noch|kurz|geduld))*"
        r"(?: (?:ich (?!möchte|hätte|will|wollte|nehm|brauche|bräuchte|würde|kann|hab)\w+"
        r"|es (?:klingelt|hat|ist)|jemand|da ist|lassen sie|mein)\b.*)?"
    ),
    lengths=numbers(
        {
            "postleitzahl": 5,
            "plz": 5,
            "letzten vier": 4,
            "kreditkarte": 16,
            "kartennummer": 16,
            "iban": 22,
        }
    ),
    promises=re.compile(
        r"\b(?:(?:ich|wir) (?:werden?|schicken?|senden?|rufen?|liefern|garantieren?|verspreche)"
        r"|werden? ich|werden wir|sie (?:erhalten|bekommen)|(?:gebucht|reserviert|bestellt|gesendet"
        r"|geschickt|gespeichert|notiert|storniert|bestätigt|geändert|hinzugefügt|vorgemerkt))\b"
    ),
    addresses=re.compile(
        r"^\W*(?:es tut mir leid|tut mir leid|entschuldigung|leider kann ich"
        r"|ich kann (?:nicht|kein)|als ki|hallo|guten (?:tag|morgen|abend)|danke|vielen dank)\b"
        r"|\b(?:sie|ihnen|ihre?[nmrs]?|du|dir|dich)\b[^.?!]*\?\W*$"
    ),
    person=re.compile(
        rf"{_LEAD}(?:nein )*{_LEAD}(?:"
        rf"(?:{_MAY_I} )?{_SOFT}mit {_SOMEONE} {_SOFT}(?:sprechen|reden|verbunden werden)"
        rf"|(?:(?:können|könnten|würden) sie mich |mich ){_SOFT}(?:(?:mit|zu) {_SOMEONE} )?{_SOFT}"
        r"(?:verbinden|weiterverbinden|durchstellen|weiterleiten)"
        rf"|verbinden sie mich(?: bitte)?(?: (?:mit|zu) {_SOMEONE})?"
        rf"|(?:stellen|leiten) sie mich(?: bitte)?(?: (?:zu|an) {_SOMEONE})? (?:durch|weiter)"
        rf"|(?:geben|holen) sie mir {_SOFT}{_PERSON}"
        rf"|ich (?:will|möchte|brauche|hätte|verlange) {_SOFT}{_PERSON}"
        rf"){_TAIL}"
    ),
    person_alone=re.compile(
        rf"(?!mensch$){_LEAD}(?:mit )?{_PERSON}{_TAIL}(?: {_LEAD}{_PERSON}{_TAIL}){{0,3}}"
    ),
    about_persons=re.compile(
        r"\b(?:person(?:en)?|menschen?|leuten?|jemand\w*|mitarbeiter\w*|berater\w*|gäste|wer|wen|wem"
        r"|wie viele|beruf|arbeiten|tätig)\b"
    ),
    waits=re.compile(
        r"(?:(?:äh|ähm|ja|nein|ok|okay|gut|gerne?|in ordnung|kein problem|dann|bitte) )*"
        r"(?:(?:ich (?:kann |möchte |will |würde )?)(?:noch |gern |gerne |lieber |weiter )*)?"
        r"(?:warte|warten|weiterwarten|bleibe? dran|bleiben)"
        r"(?: (?:noch|gern|gerne|lieber|weiter|bitte|etwas|kurz|einen moment))*"
    ),
    call_back=re.compile(
        r"(?:(?:äh|ähm|ja|nein|ok|okay|gut|gerne?|dann|lieber|bitte|also) )*"
        r"(?:(?:können sie|könnten sie|ich möchte|ich hätte|ich will|ich würde) )?"
        r"(?:(?:gerne?|lieber|bitte|mich|einen|den) )*"
        r"(?:rückruf|zurückrufen|zurückgerufen werden|rufen sie(?: mich)?(?: bitte)?"
        r"(?: (?:später|morgen))?(?: zurück| an))"
        r"(?: (?:bitte|dann|lieber|gerne?|später|morgen|danke|wäre (?:gut|besser|schön)))*"
    ),
)
