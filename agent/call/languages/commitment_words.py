"""Words that commit: an agreement or refusal of the caller, and what an agent claims to have done.

One table for each language, of casefolded words without marks but an apostrophe inside a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.call.languages import primary


@dataclass(frozen=True, slots=True)
class CommitmentWords:
    """The words of one language; each pattern is searched in a line of words."""

    agrees: re.Pattern[str]
    refuses: re.Pattern[str]
    """At the beginning, unless the caller also agrees: "no, that's right"."""
    corrects: re.Pattern[str]
    """Anywhere: what was read back is not what the caller wants."""
    negates: re.Pattern[str]
    """Anywhere: a yes beside it is not a clear one."""
    queries: re.Pattern[str]
    """The caller asks something, and answers nothing."""
    claims: re.Pattern[str]
    """The agent says that something is done."""
    no_claim: re.Pattern[str]
    """In the same sentence: it is not done, or only under a condition."""
    money: str
    """Units of a price, as alternatives of a pattern."""
    clock: str
    """What follows or precedes the hour of a time of day, as alternatives."""
    weekdays: tuple[str, ...]
    """Monday first."""
    near_days: frozenset[str]
    """Words for a day near today."""
    half_past: frozenset[str]
    """Words for 15, 30 and 45 minutes, and for noon and midnight."""
    repeats: re.Pattern[str]
    """The caller asks for the same again."""


def _line(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{alternatives})\b")


def _start(fillers: str, alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"^(?:(?:{fillers}) )*(?:{alternatives})\b")


_EN_FILLERS = "um+|uh+|oh|well|and|so|but|sorry|hm+|ah|okay|ok"
_ENGLISH = CommitmentWords(
    agrees=_line(
        "yes|yeah|yep|yup|sure|correct|right|okay|ok|exactly|perfect|absolutely|definitely"
        "|please do|go ahead|do it|nothing else|(?:that|it|everything)(?:'s| is| looks| sounds)"
        " (?:all|it|fine|good|great|lovely)|(?:place|book|send|save|order|take|keep) (?:it|that)"
        "|sounds good|looks good|of course|that works|i (?:agree|consent|accept)"
    ),
    refuses=_start(_EN_FILLERS, "no|nope|nah|not|don't|never|nothing|wrong|incorrect|cancel|stop"),
    corrects=_line(
        "no wait|wait no|(?<!will )(?<!ll )(?<!can )(?<!t )wait(?! for)|not (?:right|correct|yet"
        "|that|quite|sure)|(?:that|it)(?:'s| is) (?:not|wrong)|isn't|don't (?:want|place|book|send"
        "|order|save)|changed my mind|cancel|instead|make (?:it|that|the)|i meant|i said|change"
        "|rather|scratch that|one more thing|remove|without"
    ),
    negates=_line("not|no|never|nothing|unless|if|only|but|cannot|without|\\w+n't"),
    queries=_start(
        _EN_FILLERS, "what|what's|which|who|when|where|why|how|is|are|does|do|did|can i|could i"
    ),
    claims=_line(
        "(?:is|are|has been|have been|'s|was|it's|that's|you're|you are) (?:now |all |already |just"
        " )*(?:booked|reserved|scheduled|sent|texted|emailed|saved|ordered|placed|confirmed"
        "|cancelled|canceled|on its way)"
        "|(?:i|we|i've|we've)(?: have)? (?:just |now |already )*(?:booked|reserved|scheduled|sent"
        "|texted|emailed|saved|stored|ordered|placed|cancelled|canceled|changed|updated)"
    ),
    no_claim=_line(
        "not|n't|isn't|hasn't|wasn't|haven't|couldn't|nothing|no|if|once|when|before|until|after"
        "|as soon as|will|would|whether|shall|should|can|could|cannot|unless|to have|be"
    ),
    money="dollars?|bucks|euros?|pounds?|cents?",
    clock="a\\.?m|p\\.?m|o'clock",
    weekdays=("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    near_days=frozenset({"today", "tonight", "tomorrow"}),
    half_past=frozenset({"half", "quarter", "noon", "midday", "midnight"}),
    repeats=_line(
        "again|repeat|once more|pardon|didn't (?:hear|get|catch|understand)|huh|excuse me"
        "|(?:what|sorry)$|what (?:was|is) that|what's that|what did you say|say that"
    ),
)

_ES_FILLERS = "eh|ah|este|bueno|pues|y|perdón|oh|vale|ok"
_SPANISH = CommitmentWords(
    agrees=_line(
        "sí|si|claro|correcto|vale|ok|okay|exacto|perfecto|por supuesto|adelante|hágalo|eso es"
        "|de acuerdo|está bien|nada más|así es|resérve\\w+|mánde\\w+|envíe\\w+"
        "|acepto|consiento"
    ),
    refuses=_start(
        _ES_FILLERS,
        "no(?! (?:le |lo )?(?:entiend|entend|oig|oí|sé))|nunca|nada|incorrecto|cancel\\w+|espere"
        "|espera",
    ),
    corrects=_line(
        "no espere|no espera|espere|espera|no es|está mal|mejor|quería decir|quise decir|cambi\\w+"
        "|cancel\\w+|en vez|en lugar|todavía no|sin|quite|otra cosa más"
    ),
    negates=_line("no|nunca|nada|sin|pero|solo|sólo|salvo|menos"),
    queries=_start(
        _ES_FILLERS, "qué|cuál|cuáles|quién|cuándo|dónde|cómo|cuánto|cuántos|por qué|puedo"
    ),
    claims=_line(
        "(?:está|están|queda|quedó|ha sido|han sido|fue) (?:ya )?(?:reservad|enviad|guardad|pedid"
        "|confirmad|cancelad|cambiad)[oa]s?"
        "|(?:he|hemos) (?:reservado|enviado|guardado|pedido|confirmado|cancelado|cambiado)"
        "|(?:reservé|envié|guardé|pedí|confirmé)"
    ),
    no_claim=_line(
        "no|nada|si|cuando|antes|después|hasta|una vez|en cuanto|será|serán|quiere|puede|puedo"
    ),
    money="dólares?|euros?|pesos?|centavos?|céntimos?",
    clock="horas?|de la (?:mañana|tarde|noche)|a las|a la",
    weekdays=("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
    near_days=frozenset({"hoy", "mañana"}),
    half_past=frozenset({"media", "cuarto", "mediodía", "medianoche"}),
    repeats=_line(
        "otra vez|de nuevo|repit\\w+|repetir|perdón|(?:cómo|qué)$|(?:cómo|qué) (?:dice|dijo)"
        "|no (?:oí|entendí)"
    ),
)

_DE_FILLERS = "äh|ähm|hm|also|ja|und|oh|ach|okay|ok|entschuldigung"
_GERMAN = CommitmentWords(
    agrees=_line(
        "ja|jawohl|genau|richtig|stimmt|korrekt|okay|ok|gerne?|klar|natürlich|passt|perfekt|bitte"
        "|machen sie das|einverstanden|das war's|das ist alles|sonst nichts|in ordnung"
        "|ich (?:stimme zu|willige ein)"
    ),
    refuses=_start(
        _DE_FILLERS, "nein|nee|nö|nicht(?! verstanden)|nichts|nie|falsch|stopp?|abbrechen"
    ),
    corrects=_line(
        "nein warten sie|moment nein|warten sie|warte|nicht (?:richtig|ganz|das|so)|falsch|doch"
        " nicht|doch lieber|lieber|stattdessen|ich meinte|ändern\\w*|stornier\\w+|noch nicht|ohne"
        "|statt"
    ),
    negates=_line("nicht|nichts|kein\\w*|nie|ohne|aber|nur|wenn|falls|außer"),
    queries=_start(
        _DE_FILLERS, "was|welche\\w*|wer|wann|wo|warum|wie|wieso|kann ich|könnte ich|ist|sind"
    ),
    claims=_line(
        "(?:ist|sind|wurde|wurden|habe|haben) (?:[\\wäöüß]+ ){0,6}(?:gebucht|reserviert|gesendet"
        "|geschickt|verschickt|gespeichert|bestellt|aufgegeben|bestätigt|storniert"
        "|geändert|unterwegs)"
    ),
    no_claim=_line(
        "nicht|nichts|kein\\w*|wenn|sobald|bevor|nachdem|falls|werde|wird|werden|würde|soll|kann"
        "|könnte|ob"
    ),
    money="dollar|euro|franken|cents?",
    clock="uhr",
    weekdays=(
        "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag",
    ),
    near_days=frozenset({"heute", "morgen", "übermorgen"}),
    half_past=frozenset({"halb", "viertel", "dreiviertel", "mittag", "mitternacht"}),
    repeats=_line(
        "nochmal|noch einmal|wiederhol\\w+|wie bitte|(?:was|wie)$|nicht verstanden"
        "|was (?:haben sie|hast du|war das)"
    ),
)  # fmt: skip

_FR_FILLERS = "euh|ah|oh|bon|ben|alors|et|pardon|ok|d'accord"
_FRENCH = CommitmentWords(
    agrees=_line(
        "oui|ouais|exact|exactement|correct|d'accord|ok|okay|parfait|bien sûr|allez y|c'est (?:ça"
        "|bon|tout|juste)|tout à fait|rien d'autre|volontiers|faites le|avec plaisir"
        "|j'accepte|je consens"
    ),
    refuses=_start(_FR_FILLERS, "non|pas|jamais|rien|faux|annulez|stop|attendez"),
    corrects=_line(
        "non attendez|attendez|ce n'est pas|c'est faux|plutôt|je voulais dire|chang\\w+|annul\\w+"
        "|à la place|au lieu|pas encore|sans|pas (?:ça|celui|celle)"
    ),
    negates=_line("pas|ne|rien|jamais|sans|mais|seulement|sauf|si|n'\\w+"),
    queries=_start(
        _FR_FILLERS,
        "que|quoi|quel\\w*|qui|quand|où|pourquoi|comment|combien|est ce que|puis je|qu'est",
    ),
    claims=_line(
        "(?:est|sont|a été|ont été) (?:bien |maintenant |déjà )*(?:réservé|envoyé|enregistré"
        "|commandé|confirmé|annulé|modifié)(?:e|s|es)?"
        "|(?:j'ai|nous avons) (?:bien )?(?:réservé|envoyé|enregistré|commandé|passé|confirmé"
        "|annulé|modifié)"
    ),
    no_claim=_line(
        "pas|ne|n'est|n'a|rien|si|quand|avant|après|jusqu'à|dès que|une fois|sera|seront|voulez"
        "|puis|peut|peux"
    ),
    money="dollars?|euros?|francs?|centimes?",
    clock="heures?|h",
    weekdays=("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    near_days=frozenset({"aujourd'hui", "demain"}),
    half_past=frozenset({"demie", "quart", "midi", "minuit"}),
    repeats=_line(
        "encore|répét\\w+|pardon|(?:comment|quoi)$|pas (?:entendu|compris)|redire|redites"
    ),
)

_TABLES: Mapping[str, CommitmentWords] = {
    "en": _ENGLISH,
    "es": _SPANISH,
    "de": _GERMAN,
    "fr": _FRENCH,
}


def commitment_words(language: str) -> CommitmentWords | None:
    """The table of a BCP 47 tag, English if it is empty; None = only numbers can be compared."""
    return _TABLES.get(primary(language) or "en")
