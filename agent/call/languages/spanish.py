"""Spanish."""

from __future__ import annotations

import re

from agent.call.languages.turn_words import TurnWords, digits, phrases, words

SPANISH = TurnWords(
    digits=digits(
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince"
        " dieciséis diecisiete dieciocho diecinueve veinte",
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
        },
    ),
    articles=words("un una uno"),
    repeated={"doble": 2, "triple": 3},
    joints=words("y guion guión luego después más"),
    hesitations=words("eh em este mmm hm ah pues bueno o sea"),
    open_words=words(
        "el la los las un una unos unas mi tu su nuestro nuestra y e o u pero porque si cuando"
        " aunque de del a al en con por para sin sobre entre hasta desde que muy tan como mis sus"
    ),
    stranded=frozenset(),
    transitive=words("quiero necesito cambiar cancelar añadir poner llevar traer tener hacer"),
    auxiliaries=words("es son está están era soy estoy he ha han puedo podría quiero quisiera"),
    subjects=words("yo tú usted él ella"),
    answers=words("sí no claro así"),
    lead_ins=phrases(
        "quería|me gustaría|quisiera|quiero|necesito|me da|me puede dar|póngame|deme"
        "|dame|voy a querer"
        "|para mí|mi nombre es|me llamo|mi número es|mi dirección es|el número es|la dirección es"
        "|estoy buscando|estoy llamando|puede|podría|tiene|tienen|hay|creo que|déjeme ver"
        "|a ver|un momento a ver|déjame pensar|qué tal|otra cosa"
    ),
    corrections=phrases(
        "bueno no|no espera|no espere|espere|espera|quiero decir|quise decir|espera no|perdón"
        "|no perdón|perdón no|mejor|mejor dicho|digo|o sea"
        "|en realidad|corrijo|más bien"
    ),
    announces=re.compile(
        r"(?:.* )?(?:(?:quería|quiero|quisiera|gustaría|necesito)"
        r" (?:pedir|preguntar|preguntarle|saber|cambiar|reservar|hacer un pedido)"
        r"|una (?:pregunta|duda|consulta)(?: sobre [\w ]+)?|lo que pasa es que|el caso es que)"
    ),
    openers=frozenset(
        phrases(
            "hola|buenas|buenos días|buenas tardes|buenas noches|sí hola|hola buenas|bueno"
            "|hola buenos días|hola buenas tardes|a ver|pues"
        )
    ),
    consents=frozenset(phrases("sí|claro|vale|ok|okay|bueno|por supuesto|sí claro|sí por favor")),
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
    asks_name=re.compile(r"\bnombre\b"),
    asks_openly=re.compile(
        r"\b(?:qué|cuál|cuáles|dónde|cuándo|quién|cómo|cuánt[oa]s?|me (?:da|dice|puede dar)"
        r"|dígame|deme|indíqueme|necesito)\b"
    ),
    asks_number=re.compile(r"\b(?:número|números|dígitos|código|postal|teléfono|celular|móvil)\b"),
    names_number=re.compile(
        r"\bmi (?:\w+ ){0,2}(?:número|teléfono|código|celular|móvil)\b|\bnúmero es\b"
    ),
    asks_phone=re.compile(r"\b(?:teléfono|celular|móvil|llamarle|llamarte)\b"),
    asks_address=re.compile(r"\b(?:dirección|calle|domicilio)\b"),
    asks_spelling=re.compile(r"\b(?:deletre\w+|correo|e-?mail|letra por letra)\b"),
    nods=frozenset(
        phrases(
            "mm|mhm|mm hm|ajá|aja|ah|oh|sí|si|ok|okay|vale|claro|ya|bien|muy bien|bueno|de acuerdo"
            "|perfecto|entiendo|entendido|ya veo|qué bien|genial|exacto|por supuesto|estupendo"
            "|correcto|eso es|qué bueno|suena bien|está bien"
        )
    ),
    moment=re.compile(
        r"(?:(?:eh|ah|sí|vale|perdón|bueno|por favor) )*(?:¿)?(?:(?:puede|puedes|podría) )?"
        r"(?:un (?:momento|momentito|segundo|minuto|segundito)|espere|espera|esperar|esperarme"
        r"|deme un \w+|dame un \w+|aguarde|no cuelgue)"
        r"(?: (?:un|una) (?:momento|momentito|segundo|minuto))?(?: por favor)?"
        r"(?: (?:tengo que|voy a|que (?:busco|voy|tengo)|estoy \w+ndo|déjeme|hay alguien"
        r"|es que|necesito|llaman|busco) .*)?"
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
    phone_digits=0,
    lengths={"código postal": 5, "últimos cuatro": 4},
)
