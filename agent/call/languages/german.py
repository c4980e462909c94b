"""German."""

from __future__ import annotations

import re

from agent.call.languages.turn_words import TurnWords, digits, phrases, words

GERMAN = TurnWords(
    digits=digits(
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn"
        " fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig",
        {
            "zwo": "2",
            "ein": "1",
            "dreißig": "30",
            "vierzig": "40",
            "fünfzig": "50",
            "sechzig": "60",
            "siebzig": "70",
            "achtzig": "80",
            "neunzig": "90",
            "hundert": "00",
        },
    ),
    articles=words("ein"),
    repeated={"doppel": 2, "zweimal": 2, "dreimal": 3},
    joints=words("und dann strich minus vorwahl plus"),
    hesitations=words("äh ähm hm hmm ah also naja na ja ehm tja"),
    open_words=words(
        "der die das den dem des ein eine einen einem einer mein meine meinen meiner dein ihr"
        " unser und oder aber weil wenn dass ob als von für mit ohne bei nach zum zur in im am"
        " unter zwischen bis seit sehr ganz wie gegen kein keine"
    ),
    stranded=frozenset(),
    transitive=words("brauche suche nehme"),
    auxiliaries=words("ist sind bin möchte würde wäre hätte"),
    subjects=words("ich du er sie wir"),
    answers=words("ja nein doch klar"),
    lead_ins=phrases(
        "ich möchte|ich möchte gern|ich möchte gerne|ich hätte gern|ich hätte gerne"
        "|ich nehme|ich brauche|ich will|ich würde gern"
        "|ich würde gerne|ich wollte|geben sie mir|können sie|könnten sie|haben sie|gibt es"
        "|mein name ist|ich heiße|meine nummer ist|die nummer ist|meine adresse ist|die adresse ist"
        "|ich suche|ich rufe an wegen|ich glaube|ich denke|moment|mal sehen|lassen sie mich sehen"
        "|ich bin|das ist|es ist|das wäre|und zwar|ich hab"
    ),
    corrections=phrases(
        "nein warte|warte|warten sie|entschuldigung|ich meinte|nein warten sie"
        "|warte nein|moment nein|nein moment|quatsch|ich meine"
        "|beziehungsweise|besser gesagt|oder nein|entschuldigung nein|korrektur"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:möchte|wollte|würde|hätte) (?:\w+ )?(?:bestellen|fragen|wissen|ändern"
        r"|reservieren)|(?:eine|noch eine|ne) (?:frage|bitte)(?: (?:zu|zur|zum) [\w ]+)?"
        r"|die sache ist|es geht darum|ich wüsste gern(?:e)?)"
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
    asks_name=re.compile(r"\b(?:namen?|heißen)\b"),
    asks_openly=re.compile(
        r"\b(?:was|welche[rsn]?|wo|wohin|wann|wer|wie|womit|(?:nennen|geben|sagen) sie|brauche)\b"
    ),
    asks_number=re.compile(
        r"(?:nummern?|ziffern?|stellen|postleitzahl|\bplz|\bpin|\bcode|durchwahl)\b"
    ),
    names_number=re.compile(r"\bmeine (?:\w+ ){0,2}\w*(?:nummer|zahl)\b|nummer ist\b"),
    asks_phone=re.compile(r"(?:telefon|handy|mobil|rückruf|zurückrufen|erreichen)"),
    asks_address=re.compile(r"(?:adresse|anschrift|straße)"),
    asks_spelling=re.compile(r"(?:buchstabier|e-?mail|buchstabe für)"),
    nods=frozenset(
        phrases(
            "mm|mhm|mm hm|hm|aha|ah|oh|ja|jaja|ok|okay|gut|genau|ach so|achso|alles klar|klar"
            "|verstehe|ich verstehe|super|prima|schön|stimmt|richtig|sehr gut|gerne|perfekt|toll"
            "|na klar|in ordnung|sehr schön|klingt gut|das ist gut|natürlich|verstanden"
        )
    ),
    moment=re.compile(
        r"(?:(?:äh|ähm|ja|ok|okay|oh|entschuldigung|bitte) )*(?:(?:können"
        r"|könnten) sie (?:bitte )?)?"
        r"(?:(?:einen|ein|nur einen|nur ein) (?:moment|augenblick|sekunde|minute|kleinen moment)"
        r"|eine (?:sekunde|minute)|moment|augenblick|sekunde|warten|warte|warten sie"
        r"|bleiben sie dran|geben sie mir (?:einen|eine) \w+)"
        r"(?: (?:einen|eine|kurz|mal) ?(?:moment|augenblick|sekunde|minute)?)?"
        r"(?: (?:mal|bitte|warten|noch))*"
        r"(?: (?:ich (?:muss|suche|hole|schaue|schau)|es (?:ist|hat)|jemand|da ist"
        r"|lassen) .*)?"
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
    phone_digits=0,
    lengths={"postleitzahl": 5, "plz": 5, "letzten vier": 4},
)
