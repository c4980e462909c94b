"""The built-in sentences (`Phrases`) by language; the English ones are the defaults."""

from __future__ import annotations

from collections.abc import Mapping

from agent.call.config import Phrases
from agent.call.languages import primary

SPANISH_PHRASES = Phrases(
    fillers=(
        "Un momento, por favor.",
        "Sigo con ello.",
        "Gracias por esperar, ya falta poco.",
    ),
    apology="Lo siento, ahora mismo no he podido obtener una respuesta. ¿Me lo puede repetir?",
    trying_again=(
        "Lo siento, tenemos un problema técnico. No cuelgue, por favor, lo intento de nuevo.",
        "Sigo intentándolo. Gracias por su paciencia.",
    ),
    lost_thread="Disculpe, he perdido el hilo. ¿Qué me decía?",
    not_understood="Disculpe, no le he entendido bien. ¿Me lo puede decir de otra manera?",
    blocked="Lo siento, de eso no puedo hablar. ¿Puedo ayudarle en algo más?",
    still_there=("¿Sigue ahí?", "Sigo aquí, por si necesita algo."),
    take_your_time="Claro, tómese su tiempo.",
    goodbye_idle="Ya no le oigo, así que voy a colgar. Adiós.",
    goodbye="Gracias por llamar. Adiós.",
    goodbye_trouble="Lo siento, tenemos problemas técnicos. Llame más tarde, por favor. Adiós.",
    transfer="Le paso ahora con una persona.",
    almost_over="Le aviso de que esta llamada tiene que terminar en un minuto, más o menos.",
    goodbye_duration="Lo siento, se nos ha acabado el tiempo. Vuelva a llamar, por favor. Adiós.",
    goodbye_spent=(
        "Lo siento, ha llegado al límite de nuestro servicio por hoy."
        " Vuelva a llamar mañana, por favor. Adiós."
    ),
    goodbye_stopping="Lo siento, tengo que terminar aquí la llamada. Vuelva a llamar, por favor.",
    resumed="Disculpe, la línea se ha cortado un momento.",
    resumed_quiet="Sigo aquí, continúe, por favor.",
    resumed_unheard="Disculpe, la línea se ha cortado mientras hablaba. ¿Qué me decía?",
    nobody_free=(
        "Lo siento, en este momento nadie puede atender su llamada. ¿Puedo ayudarle en algo más?"
    ),
    may_i_answer="Perdone que le interrumpa. Déjeme comprobar que le he entendido.",
    goodbye_spent_call=(
        "Lo siento, esta llamada ha llegado al límite de nuestro servicio."
        " Vuelva a llamar, por favor. Adiós."
    ),
    no_person="Lo siento, no puedo pasarle con una persona. ¿Puedo ayudarle en algo más?",
    wait_or_person=(
        "Lo siento, esto tarda más de lo normal. ¿Quiere seguir esperando o le paso con una"
        " persona?"
    ),
    wait_or_go_on=(
        "Lo siento, esto tarda más de lo normal. ¿Quiere seguir esperando o pasamos a otra cosa?"
    ),
    wait_or_call_back=(
        "Lo siento, esto tarda más de lo normal. ¿Quiere seguir esperando o prefiere que le"
        " llamemos? Para que le llamemos también puede pulsar el 1."
    ),
    person_or_call_back=(
        "Lo siento, esto tarda más de lo normal. ¿Quiere seguir esperando, le paso con una persona"
        " o prefiere que le llamemos? Para que le llamemos también puede pulsar el 1."
    ),
    call_back_number="¿A qué número le llamamos? También puede marcarlo.",
    call_back_noted="Gracias, queda anotado. Le llamaremos.",
    anything_else="¿Puedo ayudarle en algo más?",
    enter_digits="Introduzca el número con el teclado, por favor.",
    digits_again="Lo siento, no he recibido ese número. Introdúzcalo otra vez, por favor.",
    shall_i_go_on="¿Sigo?",
    not_certain="Lo siento, no se lo puedo asegurar. ¿Qué más desea saber?",
    consent_refused="Lo siento, no puedo continuar sin su consentimiento. Adiós.",
)

GERMAN_PHRASES = Phrases(
    fillers=(
        "Einen Moment, bitte.",
        "Ich bin noch dabei.",
        "Danke, dass Sie warten, es dauert nicht mehr lange.",
    ),
    apology=(
        "Es tut mir leid, ich habe gerade keine Antwort bekommen. Können Sie das bitte noch einmal"
        " sagen?"
    ),
    trying_again=(
        "Es tut mir leid, wir haben ein technisches Problem. Bitte bleiben Sie dran, ich versuche"
        " es noch einmal.",
        "Ich versuche es weiter. Danke für Ihre Geduld.",
    ),
    lost_thread="Entschuldigung, ich habe den Faden verloren. Was sagten Sie?",
    not_understood=(
        "Entschuldigung, das habe ich nicht ganz verstanden. Können Sie es anders sagen?"
    ),
    blocked=("Es tut mir leid, darüber kann ich nicht sprechen. Kann ich sonst etwas für Sie tun?"),
    still_there=("Sind Sie noch da?", "Ich bin noch da, falls Sie etwas brauchen."),
    take_your_time="Natürlich, lassen Sie sich Zeit.",
    goodbye_idle="Ich höre Sie nicht mehr und lege deshalb jetzt auf. Auf Wiederhören.",
    goodbye="Danke für Ihren Anruf. Auf Wiederhören.",
    goodbye_trouble=(
        "Es tut mir leid, wir haben technische Probleme. Bitte rufen Sie später noch einmal an."
        " Auf Wiederhören."
    ),
    transfer="Ich verbinde Sie jetzt mit einem Menschen.",
    almost_over="Nur damit Sie es wissen: Das Gespräch muss in etwa einer Minute enden.",
    goodbye_duration=(
        "Es tut mir leid, unsere Zeit ist um. Bitte rufen Sie wieder an. Auf Wiederhören."
    ),
    goodbye_spent=(
        "Es tut mir leid, für heute haben Sie die Grenze unseres Dienstes erreicht."
        " Bitte rufen Sie morgen wieder an. Auf Wiederhören."
    ),
    goodbye_stopping=(
        "Es tut mir leid, ich muss das Gespräch hier beenden. Bitte rufen Sie noch einmal an."
    ),
    resumed="Entschuldigung, die Leitung war einen Moment unterbrochen.",
    resumed_quiet="Ich bin noch da, bitte sprechen Sie weiter.",
    resumed_unheard=(
        "Entschuldigung, die Leitung war unterbrochen, während Sie sprachen. Was sagten Sie?"
    ),
    nobody_free=("Es tut mir leid, im Moment ist niemand frei. Kann ich sonst etwas für Sie tun?"),
    may_i_answer="Entschuldigung, dass ich unterbreche. Ich möchte sichergehen, dass ich folge.",
    goodbye_spent_call=(
        "Es tut mir leid, dieses Gespräch hat die Grenze unseres Dienstes erreicht."
        " Bitte rufen Sie noch einmal an. Auf Wiederhören."
    ),
    no_person=(
        "Es tut mir leid, ich kann Sie nicht mit einem Menschen verbinden. Kann ich sonst etwas"
        " für Sie tun?"
    ),
    wait_or_person=(
        "Es tut mir leid, das dauert länger als sonst. Möchten Sie weiter warten, oder soll ich Sie"
        " mit einem Menschen verbinden?"
    ),
    wait_or_go_on=(
        "Es tut mir leid, das dauert länger als sonst. Möchten Sie weiter warten, oder machen wir"
        " mit etwas anderem weiter?"
    ),
    wait_or_call_back=(
        "Es tut mir leid, das dauert länger als sonst. Möchten Sie weiter warten, oder sollen wir"
        " Sie zurückrufen? Für einen Rückruf können Sie auch die 1 drücken."
    ),
    person_or_call_back=(
        "Es tut mir leid, das dauert länger als sonst. Möchten Sie weiter warten, soll ich Sie mit"
        " einem Menschen verbinden, oder sollen wir Sie zurückrufen? Für einen Rückruf können Sie"
        " auch die 1 drücken."
    ),
    call_back_number="Unter welcher Nummer sollen wir Sie zurückrufen? Sie können sie auch tippen.",
    call_back_noted="Danke, das ist notiert. Wir rufen Sie zurück.",
    anything_else="Kann ich sonst etwas für Sie tun?",
    enter_digits="Bitte geben Sie die Nummer über die Tasten ein.",
    digits_again=(
        "Es tut mir leid, ich habe die Nummer nicht bekommen. Bitte geben Sie sie noch einmal ein."
    ),
    shall_i_go_on="Soll ich weitermachen?",
    not_certain="Das kann ich leider nicht sicher sagen. Was möchten Sie sonst wissen?",
    consent_refused=(
        "Es tut mir leid, ohne Ihre Zustimmung kann ich nicht weitermachen. Auf Wiederhören."
    ),
)

FRENCH_PHRASES = Phrases(
    fillers=(
        "Un instant, s'il vous plaît.",
        "Je m'en occupe toujours.",
        "Merci de patienter, ce ne sera plus très long.",
    ),
    apology="Je suis désolé, je n'ai pas pu obtenir de réponse. Pouvez-vous répéter ?",
    trying_again=(
        "Je suis désolé, nous avons un problème technique. Restez en ligne, s'il vous plaît,"
        " j'essaie encore.",
        "J'essaie toujours. Merci de votre patience.",
    ),
    lost_thread="Excusez-moi, j'ai perdu le fil. Que disiez-vous ?",
    not_understood="Excusez-moi, je n'ai pas bien compris. Pouvez-vous le dire autrement ?",
    blocked=(
        "Je suis désolé, je ne peux pas parler de cela. Puis-je vous aider pour autre chose ?"
    ),
    still_there=("Êtes-vous toujours là ?", "Je suis toujours là si vous avez besoin de moi."),
    take_your_time="Bien sûr, prenez votre temps.",
    goodbye_idle="Je ne vous entends plus, je vais donc raccrocher. Au revoir.",
    goodbye="Merci de votre appel. Au revoir.",
    goodbye_trouble=(
        "Je suis désolé, nous avons des problèmes techniques. Rappelez plus tard, s'il vous plaît."
        " Au revoir."
    ),
    transfer="Je vous mets en relation avec une personne.",
    almost_over="Je vous préviens, cet appel doit se terminer dans une minute environ.",
    goodbye_duration=(
        "Je suis désolé, notre temps est écoulé. Rappelez-nous, s'il vous plaît. Au revoir."
    ),
    goodbye_spent=(
        "Je suis désolé, vous avez atteint la limite de notre service pour aujourd'hui."
        " Rappelez demain, s'il vous plaît. Au revoir."
    ),
    goodbye_stopping=(
        "Je suis désolé, je dois mettre fin à l'appel ici. Rappelez-nous, s'il vous plaît."
    ),
    resumed="Excusez-moi, la ligne a été coupée un instant.",
    resumed_quiet="Je suis toujours là, continuez, je vous en prie.",
    resumed_unheard=(
        "Excusez-moi, la ligne a été coupée pendant que vous parliez. Que disiez-vous ?"
    ),
    nobody_free=(
        "Je suis désolé, personne n'est libre pour le moment. Puis-je vous aider pour autre chose ?"
    ),
    may_i_answer="Pardon de vous interrompre. Je voudrais être sûr de bien vous suivre.",
    goodbye_spent_call=(
        "Je suis désolé, cet appel a atteint la limite de notre service."
        " Rappelez-nous, s'il vous plaît. Au revoir."
    ),
    no_person=(
        "Je suis désolé, je ne peux pas vous passer une personne. Puis-je vous aider pour autre"
        " chose ?"
    ),
    wait_or_person=(
        "Je suis désolé, cela prend plus de temps que d'habitude. Voulez-vous continuer à attendre,"
        " ou dois-je vous passer une personne ?"
    ),
    wait_or_go_on=(
        "Je suis désolé, cela prend plus de temps que d'habitude. Voulez-vous continuer à attendre,"
        " ou passons-nous à autre chose ?"
    ),
    wait_or_call_back=(
        "Je suis désolé, cela prend plus de temps que d'habitude. Voulez-vous continuer à attendre,"
        " ou devons-nous vous rappeler ? Pour être rappelé, vous pouvez aussi appuyer sur le 1."
    ),
    person_or_call_back=(
        "Je suis désolé, cela prend plus de temps que d'habitude. Voulez-vous continuer à attendre,"
        " dois-je vous passer une personne, ou devons-nous vous rappeler ? Pour être rappelé, vous"
        " pouvez aussi appuyer sur le 1."
    ),
    call_back_number="À quel numéro devons-nous vous rappeler ? Vous pouvez aussi le saisir.",
    call_back_noted="Merci, c'est noté. Nous vous rappellerons.",
    anything_else="Puis-je vous aider pour autre chose ?",
    enter_digits="Veuillez saisir le numéro sur votre clavier.",
    digits_again="Je suis désolé, je n'ai pas reçu ce numéro. Veuillez le saisir de nouveau.",
    shall_i_go_on="Je continue ?",
    not_certain="Je suis désolé, je ne peux pas l'affirmer. Que voulez-vous savoir d'autre ?",
    consent_refused="Je suis désolé, je ne peux pas continuer sans votre accord. Au revoir.",
)

_PHRASES: Mapping[str, Phrases] = {
    "en": Phrases(), "es": SPANISH_PHRASES, "de": GERMAN_PHRASES, "fr": FRENCH_PHRASES,
}  # fmt: skip


def phrases_in(language: str) -> Phrases | None:
    """The built-in sentences of a BCP 47 tag, English if it is empty; None = there are none."""
    return _PHRASES.get(primary(language) or "en")
