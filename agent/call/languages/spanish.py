"""Spanish."""

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

_UNIT = r"(?:moment(?:it)?o|segund(?:it)?o|minut(?:it)?o|instante|ratito)s?"

_PERSON = (
    r"(?:(?:una?|el|la|su|alguna?|algún|otr[oa]|al) )?(?:verdader[oa] )?"
    r"(?:persona|ser humano|human[oa]|agente|operadora?|representante|encargad[oa]|gerente"
    r"|supervisora?|asesora?|emplead[oa]|responsable|recepción|recepcionista"
    r"|(?:atención|servicio) al cliente)"
    r"(?: (?:real|de verdad|human[oa]|viv[oa]|en vivo|de carne y hueso))?"
)
_SOMEONE = rf"(?:{_PERSON}|alguien(?: (?:más|real|de verdad|de carne y hueso))?)"
_LEAD = (
    r"(?:(?:eh|hola|buenas|buenos días|buenas tardes|sí|vale|bueno|por favor|perdón|mire|oiga|pero"
    r"|y|entonces|solo) )*"
)
_TAIL = r"(?: (?:por favor|ya|ahora|ahora mismo|gracias|mejor))*"
_MAY_I = (
    r"(?:quiero|quisiera|querría|quería|necesito|deseo|prefiero|preferiría|puedo|podría|déjeme"
    r"|déjame|(?:me )?gustaría|se puede|es posible)"
)

SPANISH = TurnWords(
    digits=digits(
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince"
        " dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés"
        " veinticuatro"
        " veinticinco veintiséis veintisiete veintiocho veintinueve",
        {
            "un": "1",
            "una": "1",
            "treinta": "30",
            "cuarenta": "40",
            "cincuenta": "50",
            "sesenta": "60",
            "setenta": "70",
            "ochenta": "80",
            "noventa": "90",
            "cien": "100",
            "ciento": "100",
            "doscientos": "200",
            "trescientos": "300",
            "cuatrocientos": "400",
            "quinientos": "500",
            "seiscientos": "600",
            "setecientos": "700",
            "ochocientos": "800",
            "novecientos": "900",
            "mil": "1000",
        },
    ),
    sums={},
    articles=words("un una uno"),
    repeated={"doble": 2, "triple": 3, "dos veces": 2, "tres veces": 3},
    joints=words("y por último guion guión luego después más barra letra número es el"),
    spelling_aids=(("de",), ("como",)),
    spelling_marks=words("guion guión apóstrofo con acento mayúscula"),
    email_marks=words("arroba punto"),
    quantities=words("en a de desde sobre unos unas casi máximo mínimo hasta del los las"),
    streets=re.compile(
        r"\b(?:calle|avenida|plaza|paseo|carretera|camino|ronda|travesía|glorieta)\b"
    ),
    hesitations=words("eh em este mmm hm ah pues bueno ehm"),
    function_words=words(
        "el los las una usted qué está para por con gracias pero muy también puedo su"
    ),
    open_words=words(
        "el la los las un una unos unas mi tu su nuestro nuestra y e o u pero porque si cuando"
        " aunque de del a al en con por para sin sobre entre hasta desde que muy tan como mis"
        " sus al además algún alguna"
    ),
    stranded=frozenset(),
    transitive=words("quiero necesito cambiar cancelar añadir poner llevar traer tener hacer"),
    auxiliaries=words("es son está están era soy estoy he ha han puedo podría quiero quisiera"),
    subjects=words("yo tú usted él ella"),
    answers=words("sí no claro así"),
    whole=frozenset(
        phrases(
            "eso es|cuánto es|dónde están|dónde está|así es|ya lo tienen|quién es|qué es|cuándo"
            " es|cuáles son"
        )
    ),
    wishes=frozenset(),
    lead_ins=phrases(
        "quería|me gustaría|quisiera|quiero|necesito|me da|me puede dar|póngame|deme"
        "|dame|voy a querer"
        "|para mí|mi nombre es|me llamo|mi número es|mi dirección es|el número es|la dirección es"
        "|estoy buscando|estoy llamando|podría por favor|puede por favor|no sé si|me pone|ponme"
        "|me ponga|me pones|estaba pensando|podría decirme"
        "|cómo se llama|cómo se llamaba|sería posible|me gustaría reservar|nos gustaría|nos"
        " hace falta"
        "|y luego|y también|también|somos|es para|sí apunte|apunte|me he equivocado|miento|en"
        " vez de|en lugar de|a nombre de|no sé si"
        "|creo que voy a tomar|voy a tomar|voy a pedir|quise decir|quería decir|digamos|puede"
        "|podría|tiene|tienen|hay|creo que|déjeme ver"
        "|a ver|un momento a ver|déjame pensar|qué tal|otra cosa"
    ),
    corrections=phrases(
        "un segundo|un momento|déjeme pensar|a ver|bueno no|no no|no con|mejor no|no mejor|digo"
        " no|miento|me he equivocado|perdone|disculpe|no espera|no espere|espere|espera|quiero"
        " decir|quise decir|espera no|perdón"
        "|no perdón|perdón no|mejor|mejor dicho|digo|o sea"
        "|en realidad|corrijo|más bien"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:quería|quiero|quisiera|gustaría|necesito)"
        r" (?:pedir|preguntar|preguntarle|saber|cambiar|reservar|hacer un pedido)"
        r"|una (?:pregunta|duda|consulta)(?: sobre [\w ]+)?|lo que .* es"
        r"|(?:lo que pasa|el caso|el problema|la cosa) es(?: que)?"
        r"|no (?:con|la|el|los|las) (?:\w+ ){1,4}no)|en (?:vez|lugar) de (?:\w+ ){0,2}\w+"
    ),
    topics=re.compile(
        r"(?:(?:y|pues|eh|bueno) )*(?:(?:mi|nuestro|nuestra) \w+|un[oa] de (?:ell[oa]s|l[oa]s dos)"
        r"|(?:el|la|mi) (?:pedido|reserva|entrega)(?: de \w+)?"
        r"|(?:la|el) (?:segund|primer|otr|últim)[oa]|primero"
        r"|(?:estuvimos|estuve|fuimos|pedimos|pedí)\b(?: \w+){0,5})"
    ),
    openers=frozenset(
        phrases(
            "hola|buenas|buenos días|buenas tardes|buenas noches|sí hola|hola buenas|bueno"
            "|hola buenos días|hola buenas tardes|a ver|pues"
        )
    ),
    consents=frozenset(
        phrases(
            "sí|claro|vale|ok|okay|bueno|por supuesto|sí claro|sí por favor|sí apunte|apunte|sí"
            " quiero"
        )
    ),
    before_clauses=frozenset(),
    questions=words("qué cuál cuáles quién cuándo dónde cómo cuánto cuánta cuántos cuántas"),
    conditions=phrases("porque|si|cuando|mientras|aunque|como"),
    introduces=re.compile(
        r"(?:(?:hola|buenas|buenos|días|tardes|noches|sí) )*(?:soy|me llamo|mi nombre es|habla)"
        r" \w+(?: \w+)?"
    ),
    phrase_starts=words("para a con en de por sin sobre desde algo"),
    before_phrases=words("es sí y pues solo"),
    courtesies=words("favor gracias"),
    offers_help=re.compile(
        r"(?:puedo (?:ayudar|hacer|servir)|algo más|qué más|serle útil|qué desea|ayudarle)"
    ),
    asks={
        AnswerKind.EMAIL: re.compile(r"\b(?:correo|e-?mail)\b"),
        AnswerKind.SPELLING: re.compile(r"\b(?:deletre\w+|letra por letra|cómo se escribe)"),
        AnswerKind.DATE: re.compile(r"\b(?:nacimiento|nació|naciste|cumpleaños)\b"),
        AnswerKind.ADDRESS: re.compile(
            r"\b(?:dirección|(?:qué|su|la) calle|domicilio|d[oó]nde .*\b(?:llev\w+|env\w+"
            r"|viv\w+|entreg\w+))\b"
        ),
        AnswerKind.PHONE: re.compile(
            r"\b(?:teléfono|celular|móvil|llamarle|llamarte|número .*\bllam\w+)\b"
        ),
        AnswerKind.NUMBER: re.compile(
            r"\b(?:números?|dígitos|código|postal|referencia|localizador|dni|nie|matrícula|iban"
            r"|cuenta|pin)\b"
        ),
        AnswerKind.NAME: re.compile(r"\b(?:nombre|quién hablo|quién es)\b"),
    },
    asks_openly=re.compile(
        r"\b(?:qué|cuál|cuáles|dónde|cuándo|quién|cómo|cuánt[oa]s?|me (?:da|dice|puede dar)"
        r"|dígame|deme|indíqueme|necesito)\b"
    ),
    has_town_last=True,
    names_number=re.compile(
        r"\bmi (?:\w+ ){0,2}(?:número|teléfono|código|celular|móvil|dni)\b|\bnúmero\b.*\bes\b"
        r"|\bll[aá]m[ae]me al\b|\b(?:número|teléfono) (?:de \w+ )?(?:es )?(?:el )?$"
        r"|\b(?:pedido|factura|reserva|referencia|cliente|localizador)(?: número)?(?: es)?(?: el)?$"
    ),
    negations=words("no nada nunca tampoco"),
    apologies=words("perdón perdone disculpe"),
    nods=frozenset(
        phrases(
            "mm|mhm|mm hm|ajá|aja|ah|oh|sí|si|ok|okay|vale|claro|ya|bien|muy bien|bueno|de acuerdo"
            "|perfecto|entiendo|entendido|ya veo|qué bien|genial|exacto|por supuesto|estupendo"
            "|ya ya|okey|ah bueno|ah ya|eso|así es|listo|dale|órale|fenomenal|gracias|bien bien"
            "|de nada|sin problema"
            "|no hay problema|cierto|vaya|exactamente|qué interesante|perfecto gracias|correcto"
            "|eso es|qué bueno|suena bien|está bien"
        )
    ),
    moment=re.compile(
        r"(?:(?:eh|ah|sí|vale|perdón|bueno|por favor|ay|claro|ok|okay) )*"
        r"(?:(?:puede|puedes|podría) )?"
        rf"(?:un {_UNIT}|(?:espere|espera|espéreme|espérame|esperar|esperarme|aguarde"
        rf"|aguarda)(?: tantito)?"
        rf"|(?:deme|dame|me da|permítame|permíteme|necesito|regáleme) (?:un|unos|dos) {_UNIT}"
        r"|no cuelgue|(?:ahora|enseguida|ya) vuelvo|déj[ea]me (?:mirar|buscar|ver|comprobar)\w*"
        r"|voy a (?:buscar|mirar|ver|comprobar|preguntar)\b.*)"
        rf"(?: un {_UNIT})?(?: por favor)?"
        r"(?: (?:tengo que|voy a|que (?:l[oa] )?(?:busco|miro|voy|tengo)|estoy \w+ndo|hay alguien"
        r"|déj[ea]me|necesito (?:buscar|mirar)|llaman|suena|busco)\b.*)?"
    ),
    phone_digits={"es": 9, "us": 10, "mx": 10, "ar": 10, "co": 10, "cl": 9, "pe": 9},
    lengths=numbers(
        {
            "código postal": 5,
            "últimos cuatro": 4,
            "tarjeta de crédito": 16,
            "su tarjeta": 16,
            "de la tarjeta": 16,
            "iban": 24,
        }
    ),
    promises=re.compile(
        r"\b(?:(?:he|hemos|ha|han|está|están|queda|quedan|quedó) (?:sido )?"
        r"(?:reservad|pedid|enviad|guardad|anotad|confirmad|cancelad|cambiad|añadid|programad)[oa]s?"
        r"|(?:le|te|les) (?:\w+r(?:é|emos)|aseguro|confirmo)|recibirás?|tendrás?|prometo|garantizo"
        r"|(?:llamar|enviar|mandar)(?:é|emos))\b"
    ),
    addresses=re.compile(
        r"^\W*(?:lo siento|perdón|disculpe|no puedo|como (?:modelo|una ia)|hola|buenos días"
        r"|buenas|gracias)\b|\b(?:usted|te|tu|tú|le|su)\b[^.?!]*\?\W*$"
    ),
    person=re.compile(
        rf"{_LEAD}(?:"
        rf"(?:{_MAY_I} )?(?:hablar|comunicarme|conversar) con {_SOMEONE}"
        r"|(?:(?:me )?(?:puede|puedes|podría|podrías) )?(?:me )?(?:comunica|comunicar|comunicarme"
        r"|comuníqueme|comunícame|pasa|pase|páseme|pásame|pasar|pasarme|conecta|conectar|conectarme"
        r"|conécteme|conéctame|transfiere|transferir|transferirme|transfiérame|transfiéreme|ponga"
        rf"|póngame|ponme|poner|ponerme)(?: por favor)? (?:con|a|al) {_SOMEONE}"
        r"|(?:transfiérame|transfiéreme|comuníqueme|comunícame)"
        rf"|(?:quiero|quisiera|necesito|prefiero|deme|dame|me da|páseme|pásame) {_PERSON}"
        rf"){_TAIL}"
    ),
    person_alone=re.compile(
        rf"{_LEAD}(?:con )?{_PERSON}{_TAIL}(?: {_LEAD}{_PERSON}{_TAIL}){{0,3}}"
    ),
    about_persons=re.compile(
        r"\b(?:personas?|gente|alguien|human[oa]s?|agentes?|encargad[oa]|gerente|quién|quiénes"
        r"|cuánt[oa]s|trabajo|trabaja|profesión|dedica)\b"
    ),
    waits=re.compile(
        r"(?:(?:eh|sí|no|vale|bueno|está bien|claro|de acuerdo|no hay problema|por favor) )*"
        r"(?:(?:yo )?(?:prefiero|puedo|quiero|voy a) )?(?:seguir )?"
        r"(?:espero|espere|esperar|esperando|esperaré|sigo esperando|sigo aquí)"
        r"(?: (?:por favor|un poco|un poco más|más|aquí|gracias))*"
    ),
    call_back=re.compile(
        r"(?:(?:eh|sí|no|vale|bueno|mejor|entonces|pues|prefiero|quiero|quisiera|por favor|que) )*"
        r"(?:me (?:pueden?|podrían?) (?:volver a )?llamar|que me (?:llamen|devuelvan la llamada)"
        r"|(?:llámenme|llámeme|llámame|me llamen|me llaman|devuélvanme la llamada|me devuelvan"
        r" la llamada)(?: (?:ustedes|de vuelta|de nuevo))?|(?:una )?llamada(?: de vuelta)?)"
        r"(?: (?:por favor|luego|después|más tarde|mañana|entonces|mejor|gracias))*"
    ),
)
