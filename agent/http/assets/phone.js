// The browser phone: shows what the service tells of the call, and sends what the caller does.
// What Twilio would report is decided by the service's simulator, never here.

import { byId, element, number, open, read, seconds, toolRun, waterfall } from "./page.js";
import { openSpeech } from "./speech.js";

const speech = await openSpeech();
let line = null;
let call = null; // of the present or the latest call
let turn = null; // the latest row

const setup = await read("phone/setup");
fill();

function fill() {
  const list = byId("use-case");
  list.append(element("option", { value: "" }, "of the caller"));
  for (const { name, title } of setup.useCases) {
    list.append(element("option", { value: name }, title || name));
  }
  if (setup.useCases.some(({ name }) => name === setup.useCase)) list.value = setup.useCase;
  byId("callers").append(
    ...setup.callers.map((each) => element("option", { value: each.number }, each.name)),
  );
  byId("models").append(...setup.models.map((each) => element("option", { value: each })));
  for (const key of "123456789*0#") {
    const onclick = () => send({ type: "press", key });
    const name = { "*": "star", "#": "hash" }[key] ?? key;
    byId("keys").append(
      element("button", { type: "button", "aria-label": `Key ${name}`, disabled: true, onclick }, key),
    );
  }
  byId("by-twilio").hidden = !setup.dialsByTwilio;
  byId("listen").hidden = !speech.ears;
  byId("voice").hidden = !speech.voice;
  press("listen", Boolean(speech.ears));
  press("voice", Boolean(speech.voice));
}

function press(id, isOn) {
  byId(id).setAttribute("aria-pressed", String(isOn));
}
const isPressed = (id) => byId(id).getAttribute("aria-pressed") === "true";
const say = (text) => (byId("status").textContent = text);
const send = (message) => line?.send(message);

byId("call-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (call && !call.isOver) return;
  if (!line) {
    const { ticket } = setup.ticket ? setup : await read("phone/setup");
    setup.ticket = "";
    line = open(`phone/line?ticket=${encodeURIComponent(ticket)}`, receive, () => {
      line = null;
      over("the page was disconnected");
    });
  }
  byId("turns").replaceChildren();
  turn = null;
  call = { isOver: false, language: "", parts: new Map(), turns: new Map(), tools: new Map(), isVoiced: isPressed("voice") };
  const asked = {
    type: "call",
    use_case: byId("use-case").value,
    caller: byId("caller").value,
    model: byId("model").value,
    is_voiced: call.isVoiced,
  };
  line.whenOpen(() => send(asked));
  say("ringing");
  usable(true);
});

byId("hang-up").addEventListener("click", () => send({ type: "hang_up" }));

byId("speak").addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = byId("words").value.trim();
  const text = typed.replace(/(\.\.\.|…)$/, "").trim();
  if (text) send({ type: "say", text, is_final: text === typed, language: call?.language ?? "" });
  byId("words").value = "";
});

byId("listen").addEventListener("click", () => {
  press("listen", !isPressed("listen"));
  listen();
});
byId("voice").addEventListener("click", () => {
  press("voice", !isPressed("voice"));
  if (call && !call.isOver) say("the voice changes with the next call");
});
byId("save-prompt").addEventListener("click", () => send({ type: "edit", prompt: byId("prompt").value }));
byId("save-model").addEventListener("click", () => send({ type: "model", model: byId("model").value }));
byId("request-details").addEventListener("toggle", askRequest);

function askRequest() {
  if (byId("request-details").open) send({ type: "request" });
}

function usable(isOn) {
  byId("call").hidden = isOn;
  byId("hang-up").hidden = !isOn;
  for (const id of ["words", "say", "save-model"]) byId(id).disabled = !isOn;
  for (const key of byId("keys").children) key.disabled = !isOn;
  editable(false);
  if (isOn) byId("words").focus();
}

/** The prompt is read-only until it is there: one that arrives later would replace an edit. */
function editable(isOn) {
  byId("save-prompt").disabled = byId("prompt").readOnly = !isOn;
}

function over(text) {
  if (!call || call.isOver) return;
  call.isOver = true;
  speech.voice?.cancel();
  speech.ears?.stop();
  usable(false);
  say(text);
}

function listen() {
  speech.ears?.stop();
  if (!speech.ears || !isPressed("listen") || !call || call.isOver) return;
  const hear = (text, isFinal) =>
    send({ type: "say", text: text.slice(0, 2000), is_final: isFinal, language: call.language });
  speech.ears.listen(call.language, hear, (fault) => {
    press("listen", false);
    say(`no microphone: ${fault}; type instead`);
  });
}

/** The agent speaks another language from here on: the caller is heard in it too. */
function hearIn(language) {
  if (language === call.language || !language) return;
  call.language = language;
  listen();
}

const RECEIVED = {
  ringing: ({ callSid }) => say(`ringing, ${callSid}`),
  session({ language, way }) {
    call.language = language;
    say(way === "rang" ? "in a call" : `in a call again (${way})`);
    listen();
  },
  configuration({ prompt, model }) {
    const box = byId("prompt");
    if (box.readOnly) box.value = prompt;
    editable(setup.isDevelopment);
    byId("model").placeholder = model;
  },
  agent: showPart,
  caller: showCaller,
  key({ key, is_delivered: isDelivered }) {
    const row = turn?.keys ? turn : newTurn();
    row.keys ??= row.said.appendChild(element("div", { class: "caller" }, "keys "));
    row.keys.append(isDelivered ? key : `${key} (not reported) `);
    turn = row;
  },
  tool: showTool,
  turn: showTurn,
  tokens({ total, cost, currency }) {
    byId("tokens").textContent = number(total);
    byId("cost").textContent = cost === null ? "no price" : `${cost.toFixed(4)} ${currency}`;
  },
  interrupt: ({ heard }) => note(heard ? `interrupted after: ${heard}` : "interrupted"),
  consent: ({ text }) => note(text),
  fault: ({ text }) => note(`the model failed: ${text}`, "danger"),
  refused: ({ text }) => refuse(text),
  verb: ({ verb, text }) => note(`${verb}: ${text}`),
  edited: ({ what }) => {
    byId("edited").textContent = `${what.includes("llmModel") ? "model" : "prompt"} counts from the next turn`;
  },
  request({ request }) {
    byId("request").textContent = request ? JSON.stringify(request, null, 2) : "no request yet";
  },
  ended() {},
  over({ outcome, detail, faults }) {
    for (const each of faults) note(`departs from the protocol: ${each}`, "danger");
    over(detail ? `call over: ${outcome}, ${detail}` : `call over: ${outcome}`);
  },
};

function receive(message) {
  const shown = byId("conversation");
  const isAtEnd = shown.scrollHeight - shown.scrollTop - shown.clientHeight < 80;
  RECEIVED[message.type]?.(message);
  if (isAtEnd) shown.scrollTop = shown.scrollHeight;
}

function refuse(text) {
  note(text, "danger");
  if (turn && byId("status").textContent.startsWith("ringing")) over(text);
}

function newTurn() {
  const said = element("div", { class: "said" });
  const facts = element("div", { class: "facts" });
  byId("turns").append(element("li", { class: "turn" }, said, facts));
  turn = { said, facts, tools: element("div", { class: "facts" }), times: element("div") };
  facts.append(turn.times, turn.tools);
  return turn;
}

function note(text, kind = "note") {
  (turn ?? newTurn()).said.append(element("div", { class: kind === "note" ? "note" : `note ${kind}` }, text));
}

function showCaller({ text, fate }) {
  const isNew = !call.utterance;
  const row = isNew ? newTurn() : call.utterance;
  if (isNew) row.words = row.said.appendChild(element("div", {}));
  row.words.className = fate === "delivered" ? "caller" : `caller ${fate}`;
  row.words.textContent = text;
  row.words.title = fate === "lost" ? "Twilio does not report these words" : "";
  const goesOn = fate === "partial" || (fate === "lost" && row.words.dataset.goesOn);
  call.utterance = goesOn ? row : null;
}

function showPart({ part, text, heard, language, is_cut: isCut }) {
  let shown = call.parts.get(part);
  if (!shown) {
    shown = { line: (turn ?? newTurn()).said.appendChild(element("div", { class: "agent" })), spoken: 0 };
    call.parts.set(part, shown);
  }
  const begin = text.slice(0, heard).search(/\S+\s*$/);
  const now = isCut || heard >= text.length || begin < 0 ? heard : begin;
  shown.line.replaceChildren(
    text.slice(0, now),
    element("span", { class: "now" }, text.slice(now, heard)),
    element("span", { class: isCut ? "unheard" : "ahead" }, text.slice(heard)),
  );
  // A screen reader reads a part once, when it is over; a voice has spoken it already.
  if (!call.isVoiced && (isCut || heard >= text.length)) byId("spoken").textContent = text.slice(0, heard);
  if (language !== shown.language) hearIn((shown.language = language));
  if (isCut) {
    clearTimeout(shown.waiting);
    speech.voice?.cancel();
  } else if (call.isVoiced) speakOn(part, shown, text, language);
}

/** Speak what has come, sentence by sentence where there is one, as a voice needs whole clauses. */
function speakOn(part, shown, text, language) {
  shown.text = text;
  clearTimeout(shown.waiting);
  const rest = text.slice(shown.spoken);
  const whole = rest.match(/^[\s\S]*[.!?…:;,。！？]["')\]]*(?=\s|$)/)?.[0];
  if (whole) speakNow(part, shown, whole, language);
  if (shown.spoken < text.length) {
    shown.waiting = setTimeout(() => speakNow(part, shown, shown.text.slice(shown.spoken), language), 400);
  }
}

function speakNow(part, shown, words, language) {
  const begin = shown.spoken;
  shown.spoken += words.length;
  const tell = (characters) => send({ type: "voice", part, characters: begin + characters });
  if (!words.trim()) tell(words.length);
  else speech.voice.speak(words, language, tell, () => tell(words.length));
}

function showTool(tool) {
  const made = toolRun(tool);
  const before = call.tools.get(tool.id);
  if (before) before.replaceWith(made);
  else (turn ?? newTurn()).tools.append(made);
  call.tools.set(tool.id, made);
}

function showTurn(told) {
  const row = call.turns.get(told.number) ?? turn ?? newTurn();
  call.turns.set(told.number, row);
  const first = told.response === null ? "no words" : `first words after ${seconds(told.response)}`;
  if (told.response !== null) byId("response").textContent = seconds(told.response);
  const parts = [`turn ${told.number}`, first, `${number(told.tokens)} tokens`];
  if (told.outcome !== "answered") parts.push(told.outcome);
  row.times.replaceChildren(element("div", { class: "time" }, parts.join(" · ")), waterfall(told));
  askRequest();
}
