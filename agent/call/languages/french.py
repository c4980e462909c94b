"""French."""

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

_UNIT = r"(?:petite?s? )?(?:instant|moment|seconde|minute)s?"

_PERSON = (
    r"(?:(?:une?|le|la|votre|l|un autre|une autre) )?(?:vraie? |véritable )?"
    r"(?:personne|être humain|humain|conseill(?:er|ère)|agente?|opérat(?:eur|rice)|représentante?"
    r"|responsable|employée?|collaborat(?:eur|rice)|standard(?:iste)?|service clients?|gérante?"
    r"|l'accueil|accueil)"
    r"(?: (?:réelle?|humaine?|physique|en chair et en os))?"
)
_SOMEONE = rf"(?:{_PERSON}|quelqu'un(?: (?:d'autre|de réel|d'humain|en vrai))?)"
_LEAD = (
    r"(?:(?:euh|bonjour|bonsoir|oui|d'accord|ok|bon|alors|s'il vous pla[îi]t|pardon|excusez moi"
    r"|mais|et|écoutez|juste) )*"
)
_TAIL = r"(?: (?:s'il vous pla[îi]t|maintenant|tout de suite|merci|directement))*"
_MAY_I = (
    r"(?:je (?:veux|voudrais|souhaite|souhaiterais|préfère|préférerais|peux|dois|désire|pourrais)"
    r"|j'aimerais|puis je|pourrais je|(?:est ce que )?je (?:peux|pourrais)|laissez moi|il faut que"
    r"|est il possible de)(?: bien)?"
)

FRENCH = TurnWords(
    digits=digits(
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze"
        " seize",
        {
            "une": "1",
            "vingt": "20",
            "trente": "30",
            "quarante": "40",
            "cinquante": "50",
            "soixante": "60",
            "vingts": "20",
            "cent": "00",
            "cents": "00",
            "mille": "1000",
        },
    ),
    sums={
        ("4", "20"): "80",
        **{("10", str(one)): f"1{one}" for one in (7, 8, 9)},
        **{
            (f"{tens}0", str(teen)): str(tens * 10 + teen)
            for tens in (6, 8)
            for teen in range(10, 20)
        },
    },
    articles=words("un une"),
    repeated={"double": 2, "triple": 3, "deux fois": 2, "trois fois": 3},
    joints=words("et pour finir puis tiret moins plus slash lettre numéro c'est le"),
    spelling_aids=(("comme",), ("de",)),
    spelling_marks=words("tiret apostrophe accent majuscule avec deux espace"),
    email_marks=words("arobase arobas point tiret"),
    quantities=words("en à de vers environ depuis jusqu'à plus moins maximum minimum les des"),
    streets=re.compile(
        r"\b(?:rue|avenue|boulevard|place|chemin|impasse|allée|quai|route|cours|square|passage)\b"
    ),
    hesitations=words("euh heu hum hm ben bah alors enfin donc ah hmm voyons"),
    function_words=words(
        "le les une est vous je avec pour dans votre êtes merci mais aussi quel puis des"
    ),
    open_words=words(
        "le la les l un une des du de d mon ma mes ton votre vos notre nos et ou mais parce car si"
        " quand que à au aux en avec pour sans sur entre dans chez par vers depuis très trop"
        " comme aussi leur leurs quelque quelques cette ce chaque"
        " je j c' qu' un' d' l'"
    ),
    stranded=frozenset(),
    transitive=words("prendre avoir changer annuler ajouter mettre faire trouver cherche"),
    auxiliaries=words("est sont suis ai a ont peux peut pourrais voudrais veux était serait"),
    subjects=words("je tu il elle on"),
    answers=words("oui non si ça"),
    whole=frozenset(phrases("je crois|il y en a|je peux|c'est quoi|je pense|je suis")),
    wishes=frozenset(),
    lead_ins=phrases(
        "je voudrais|j'en voudrais|j'en prends|j'aimerais|je veux|je vais prendre|je prends"
        "|j'ai besoin|donnez-moi"
        "|donnez moi|est-ce que|est ce que|est-ce que vous|pouvez-vous|pouvez vous|vous avez"
        "|avez-vous|avez vous|il y a|y a-t-il|je m'appelle|mon nom est|mon numéro est|le numéro est"
        "|mon adresse est|c'est|mon numéro c'est|je cherche|j'appelle|je pense|je crois"
        "|est-ce que je peux|je peux avoir|je peux|on peut|on pourrait|il me faudrait|il nous"
        " faut|il me faut"
        "|j'aurais voulu|on voudrait|je pensais|comment ça s'appelle|vous pourriez me dire|vous"
        " pourriez|pourriez vous"
        "|ce serait possible|serait il possible|on voudrait venir|au nom de|je ne sais pas si"
        "|je me suis trompé|je reprends"
        "|et aussi|et puis|au lieu de|je prendrais|je vais prendre|on aimerait|nous sommes|ça"
        " s'écrit|attendez voir|laissez-moi voir|voyons|je suis|ce serait"
    ),
    corrections=phrases(
        "une seconde|une minute|un instant|laissez moi voir|voyons voir|non non|non pas|pas la"
        "|pas le|pardon non|ah non|non plutôt|excusez moi|je me suis trompé|je reprends|attends"
        "|non attendez|attendez|je voulais dire|attendez non|non attends|pardon"
        "|non pardon|enfin non|plutôt|ou plutôt"
        "|je veux dire|je me trompe|en fait|en fait non|correction"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:voudrais|aimerais|voulais|veux|j'aimerais)"
        r" (?:commander|demander|vous demander|savoir|savoir si|changer|réserver|passer commande)"
        r"|une (?:question|petite question)(?: sur [\w ]+)?"
        r"|(?:le problème|la question|ce que je .*) c'est(?: que)?|c'est que"
        r"|non pas (?:\w+ ){0,3}\w+)|au lieu de (?:[\w']+ ){0,2}[\w']+|non en fait"
    ),
    topics=re.compile(
        r"(?:(?:et|alors|euh|donc) )*(?:(?:mon|ma|notre) \w+|une? des (?:deux|trois)"
        r"|(?:la|ma) (?:commande|réservation|livraison)(?: d'hier| de \w+)?"
        r"|la (?:deuxième|première|seconde|dernière)|tout d'abord"
        r"|(?:nous sommes|on est|je suis) venue?s?\b(?: \w+){0,5}"
        r"|(?:nous étions|on était|j'étais|j'ai commandé|on a commandé)\b(?: \w+){0,5})"
    ),
    openers=frozenset(
        phrases(
            "bonjour|bonsoir|allô|allo|salut|oui bonjour|bonjour madame|bonjour monsieur"
            "|oui allô|alors|bon|bon alors"
        )
    ),
    consents=frozenset(
        phrases("oui|d'accord|bien sûr|ok|okay|oui bien sûr|oui d'accord|volontiers|oui volontiers")
    ),
    before_clauses=frozenset(),
    questions=words("quoi quel quelle quels quelles qui quand où pourquoi comment"),
    conditions=phrases("si|s'il|s'ils|quand|lorsque|parce que|comme"),
    introduces=re.compile(
        r"(?:(?:bonjour|bonsoir|allô|allo|oui|madame|monsieur) )*"
        r"(?:je m'appelle|mon nom est|je suis|ici) \w+(?: \w+)?"
    ),
    phrase_starts=words("pour à avec en au aux chez sur sans de vers dans des du"),
    before_phrases=words("c'est oui et alors ce sera juste"),
    courtesies=words("plaît merci"),
    offers_help=re.compile(
        r"(?:(?:aider|être utile|faire pour vous)|autre chose|d'autre|que désirez|vous souhaitez)"
    ),
    asks={
        AnswerKind.EMAIL: re.compile(r"(?:e-?mail|courriel|\bmail\b|électronique)"),
        AnswerKind.SPELLING: re.compile(r"(?:épel|lettre par|ça s'écrit|s'écrit)"),
        AnswerKind.DATE: re.compile(r"(?:naissance|\bnée?\b|anniversaire)"),
        AnswerKind.ADDRESS: re.compile(
            r"\b(?:adresse|(?:quelle|votre|la) rue|habite[zs]|domicile|où .*livre\w*|livre\w*"
            r" où|livrer à)\b"
        ),
        AnswerKind.PHONE: re.compile(
            r"\b(?:téléphone|portable|mobile|rappeler|joindre|votre numéro(?! (?:de|client)))\b"
        ),
        AnswerKind.NUMBER: re.compile(
            r"\b(?:numéros?|chiffres|code|postal|référence|plaque|immatriculation|iban)\b"
        ),
        AnswerKind.NAME: re.compile(r"\b(?:nom|qui est à l'appareil|vous appelez vous)\b"),
    },
    asks_openly=re.compile(
        r"\b(?:qu'|que |(?:quoi|quels?|quelles?|où|quand|qui|comment|combien|donnez|dites|indiquez"
        r"|donner|besoin|avoir votre)\b)"
    ),
    has_town_last=True,
    names_number=re.compile(
        r"\bmon (?:\w+ ){0,2}(?:numéro|téléphone|code)\b|\bnuméro\b.*(?:\best|c'est)\b"
        r"|\b(?:rappele[rz]|appele[rz]|joindre)(?: moi)? au$|\b(?:numéro|facture|dossier)$"
        r"|\b(?:commande|référence|réservation)(?: numéro)?(?: c'est| est)?(?: le)?$"
    ),
    negations=words("pas non rien jamais plus"),
    apologies=words("pardon"),
    nods=frozenset(
        phrases(
            "mm|mhm|hm|mm hm|ah|oh|oui|ouais|ok|okay|d'accord|bien|très bien|je vois|parfait|super"
            "|voilà|entendu|ah bon|bon|exactement|c'est bien|génial|bien sûr|je comprends|compris"
            "|c'est ça|ça va|pas de souci|pas de problème|effectivement|exact|hmm|ouais|bien"
            " bien|ah oui|ah bon d'accord|merci"
            "|top|nickel|tiens|ah|oui d'accord|je comprends bien|intéressant|certainement"
            "|absolument|c'est bon|ça marche|formidable|tout à fait|c'est noté|c'est parfait"
        )
    ),
    moment=re.compile(
        r"(?:(?:euh|ah|oui|pardon|désolée?|s'il vous plaît|bon|alors|d'accord|ok|juste) )*"
        r"(?:(?:pouvez vous|vous pouvez|est ce que vous pouvez) )?"
        rf"(?:(?:(?:attendez|attends|patientez|patienter|attendre|donnez moi|laissez moi"
        rf"|accordez moi"
        rf"|j'en ai pour|il me faut|juste) )*(?:une?|deux|quelques) {_UNIT}|petit instant"
        r"|attendez|attends|patientez|patienter|attendre|ne quittez pas|restez en ligne|je reviens"
        r"|laissez moi (?:regarder|vérifier|chercher|voir|demander|réfléchir)|je cherche m(?:a"
        r"|on|es)\b.*"
        r"|je (?:vais|dois) (?:regarder|vérifier|chercher|voir|demander|prendre ma)\b.*)"
        r"(?: s'il vous plaît)?"
        r"(?: (?:je (?!voudrais|veux|voulais|prends|peux|préfère|vais prendre)\w+|il (?:faut|y a)"
        r"|on sonne|que je|laissez|quelqu'un|le temps|mon mari|ma femme)\b.*)?"
    ),
    phone_digits={"": 10, "fr": 10, "ca": 10, "ch": 10},
    lengths=numbers(
        {
            "code postal": 5,
            "quatre derniers": 4,
            "carte bancaire": 16,
            "de la carte": 16,
            "iban": 27,
        }
    ),
    promises=re.compile(
        r"\b(?:(?:ai|avons|est|sont|été) (?:bien )?(?:réservé|commandé|envoyé|enregistré|noté"
        r"|confirmé|annulé|modifié|ajouté)(?:e|s|es)?|(?:je|nous) vous (?:rappel|envo|enver|confirm"
        r"|promet|garanti)\w*|(?:je vais|nous allons) (?:vous )?(?:rappeler|envoyer|réserver)"
        r"|vous (?:recevrez|aurez))\b"
    ),
    addresses=re.compile(
        r"^\W*(?:(?:je suis )?désolée?|excusez|je ne peux|en tant qu|bonjour|bonsoir|merci)\b"
        r"|\b(?:vous|votre|vos|tu|te)\b[^.?!]*\?\W*$"
    ),
    person=re.compile(
        rf"{_LEAD}(?:non )*{_LEAD}(?:"
        rf"(?:{_MAY_I} )?parler (?:à|avec|au|a) {_SOMEONE}"
        r"|(?:(?:pouvez vous|pourriez vous|vous pouvez|vous pourriez|veuillez"
        r"|est ce que vous pouvez) )?me (?:passer|transférer|rediriger|connecter|mettre en relation"
        rf"|mettre en contact)(?: (?:(?:à|avec|vers|au|a) )?{_SOMEONE})?"
        rf"|(?:passez|donnez) moi {_SOMEONE}"
        rf"|(?:transférez|mettez) moi(?: en (?:relation|contact))? (?:à|avec|vers|au|a) {_SOMEONE}"
        r"|transférez moi|mettez moi en (?:relation|contact)"
        rf"|(?:je (?:veux|voudrais|souhaite|préfère)|j'aimerais|il me faut) {_PERSON}"
        rf"){_TAIL}"
    ),
    person_alone=re.compile(
        rf"(?!personne\b){_LEAD}{_PERSON}{_TAIL}(?: {_LEAD}{_PERSON}{_TAIL}){{0,3}}"
    ),
    about_persons=re.compile(
        r"\b(?:personnes?|gens|quelqu'un|humaine?s?|conseill\w+|agents?|responsable|qui|combien"
        r"|métier|profession|travail\w*)\b"
    ),
    waits=re.compile(
        r"(?:(?:euh|oui|non|d'accord|ok|bon|bien|pas de problème|c'est bon|s'il vous pla[îi]t) )*"
        r"(?:(?:je (?:vais |peux |préfère |veux )?|j'|on )?(?:continuer à |continue à )?)"
        r"(?:attends|attendre|attendrai|attend|patiente|patienter|reste en ligne)"
        r"(?: (?:encore|un peu|s'il vous pla[îi]t|merci|en ligne))*"
    ),
    call_back=re.compile(
        r"(?:(?:euh|oui|non|d'accord|ok|bon|bien|alors|plutôt|s'il vous pla[îi]t) )*"
        r"(?:(?:vous pouvez|pouvez vous|pourriez vous|je (?:préfère|veux|voudrais)|j'aimerais) )?"
        r"(?:plutôt |bien )?(?:que vous )?"
        r"(?:(?:être )?rappelée?|rappelez moi|me rappel(?:er|iez)|(?:un )?rappel)"
        r"(?: (?:plus tard|demain|alors|plutôt|merci|s'il vous pla[îi]t))*"
    ),
)
