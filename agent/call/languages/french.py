"""French."""

from __future__ import annotations

import re

from agent.call.languages.turn_words import TurnWords, digits, phrases, words

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
            "cent": "00",
        },
    ),
    articles=words("un une"),
    repeated={"double": 2, "triple": 3},
    joints=words("et puis tiret moins plus"),
    hesitations=words("euh heu hum hm ben bah alors bon enfin donc ah"),
    open_words=words(
        "le la les l un une des du de d mon ma mes ton votre vos notre nos et ou mais parce car si"
        " quand que à au aux en avec pour sans sur entre dans chez par vers depuis très trop comme"
        " je j c' qu' un' d' l'"
    ),
    stranded=frozenset(),
    transitive=words("prendre avoir changer annuler ajouter mettre faire trouver cherche"),
    auxiliaries=words("est sont suis ai a ont peux peut pourrais voudrais veux était serait"),
    subjects=words("je tu il elle on"),
    answers=words("oui non si ça"),
    lead_ins=phrases(
        "je voudrais|j'aimerais|je veux|je vais prendre|je prends|j'ai besoin|donnez-moi"
        "|donnez moi|est-ce que|est ce que|est-ce que vous|pouvez-vous|pouvez vous|vous avez"
        "|avez-vous|avez vous|il y a|y a-t-il|je m'appelle|mon nom est|mon numéro est|le numéro est"
        "|mon adresse est|c'est|mon numéro c'est|je cherche|j'appelle|je pense|je crois"
        "|attendez voir|laissez-moi voir|voyons|je suis|ce serait"
    ),
    corrections=phrases(
        "non attendez|attendez|je voulais dire|attendez non|non attends|pardon"
        "|non pardon|enfin non|plutôt|ou plutôt"
        "|je veux dire|je me trompe|en fait|en fait non|correction"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:voudrais|aimerais|voulais|veux|j'aimerais)"
        r" (?:commander|demander|vous demander|savoir|savoir si|changer|réserver|passer commande)"
        r"|une (?:question|petite question)(?: sur [\w ]+)?|le problème c'est que|c'est que)"
    ),
    openers=frozenset(
        phrases(
            "bonjour|bonsoir|allô|allo|salut|oui bonjour|bonjour madame|bonjour monsieur"
            "|oui allô|alors|bon alors"
        )
    ),
    consents=frozenset(
        phrases("oui|d'accord|bien sûr|ok|okay|oui bien sûr|oui d'accord|volontiers|oui volontiers")
    ),
    before_clauses=frozenset(),
    questions=words("quoi quel quelle quels quelles qui quand où pourquoi comment"),
    conditions=phrases("si|quand|lorsque|parce que|comme"),
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
    asks_name=re.compile(r"\bnom\b"),
    asks_openly=re.compile(
        r"\b(?:qu'|que |(?:quoi|quels?|quelles?|où|quand|qui|comment|combien|donnez|dites|indiquez"
        r"|donner|besoin|avoir votre)\b)"
    ),
    asks_number=re.compile(r"\b(?:numéros?|chiffres|code|téléphone|portable|mobile|postal)\b"),
    names_number=re.compile(
        r"\bmon (?:\w+ ){0,2}(?:numéro|téléphone|code)\b|\bnuméro (?:c')?est\b"
    ),
    asks_phone=re.compile(r"\b(?:téléphone|portable|mobile|rappeler|joindre)\b"),
    asks_address=re.compile(r"\b(?:adresse|rue)\b"),
    asks_spelling=re.compile(r"(?:épel|e-?mail|courriel|lettre par)"),
    nods=frozenset(
        phrases(
            "mm|mhm|hm|mm hm|ah|oh|oui|ouais|ok|okay|d'accord|bien|très bien|je vois|parfait|super"
            "|voilà|entendu|ah bon|bon|exactement|c'est bien|génial|bien sûr|je comprends|compris"
            "|c'est bon|ça marche|formidable|tout à fait|c'est noté|c'est parfait"
        )
    ),
    moment=re.compile(
        r"(?:(?:euh|ah|oui|pardon|désolé|désolée|attendez|s'il vous plaît) )*"
        r"(?:(?:pouvez vous|vous pouvez|est ce que vous pouvez) )?"
        r"(?:(?:juste )?une? (?:petite? )?(?:instant|moment|seconde|minute)"
        r"|attendez|patientez|patienter|attendre|ne quittez pas|donnez moi une? \w+"
        r"|laissez moi une? \w+)"
        r"(?: une? (?:instant|moment|seconde|minute|petit instant))?(?: s'il vous plaît)?"
        r"(?: (?:je (?:cherche|vais|dois|regarde|reviens|prends|demande)|il (?:faut|y a)|on sonne"
        r"|que je|laissez|quelqu'un|le temps) .*)?"
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
    phone_digits=10,
    lengths={"code postal": 5, "quatre derniers": 4},
)
