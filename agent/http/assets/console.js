// The console: live calls of all processes, what each one does, and what a person can do about it.
import { byId, element, number, read, seconds, toolRun, waterfall } from "./page.js";

const FACTS = { CallerSaid: "caller", AgentSaid: "agent", ToolUsed: "tool", Note: "note", Summary: "summary" };
const VOICES = { model: "agent", greeting: "agent", service: "service", filler: "filler", operator: "operator" };
const DONE = {
  whisper: "The model reads it with its next request.",
  say: "The caller hears it.",
  take_over: "You have the call. The model is silent.",
  give_back: "The model has the call again.",
  transfer: "The caller is being transferred.",
  end: "The call ends.",
};

let mayAct = false;
let chosen = "";
let feed = null;
let live = [];
let isTakenOver = false;
let facts = new Map();
let turns = new Map();
let tools = new Map();

/** Server-sent events of this service; they come again by themselves after a break. */
function stream(path, onMessage, onBreak) {
  const events = new EventSource(path);
  events.onmessage = (event) => onMessage(JSON.parse(event.data));
  events.onerror = onBreak;
  return events;
}

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function callButton(call, detail) {
  const button = element(
    "button",
    { type: "button", "data-call": call.call, onclick: () => choose(call.call, detail) },
    element("span", {}, call.caller || "withheld"),
    element("small", {}, `${clock(call.began_ms)} · ${call.useCase}${detail === "live" ? "" : ` · ${detail}`}`),
  );
  if (call.call === chosen) button.setAttribute("aria-current", "true");
  return element("li", {}, button);
}

function showLive(calls) {
  live = calls;
  byId("live-count").textContent = calls.length ? `(${number(calls.length)})` : "(none)";
  byId("live").replaceChildren(...calls.map((call) => callButton(call, "live")));
}

const share = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
const time = (value) => (value === null ? "–" : seconds(value));

/** What this process has counted, until a call is chosen. */
async function showNumbers() {
  const counted = await read("/console/numbers");
  const costs = Object.entries(counted.costs).map(([currency, cost]) => `${cost.toFixed(2)} ${currency}`);
  const rows = {
    "Calls that go on here": number(counted.live),
    "Calls ended": number(counted.ended),
    "Ended without a person or a fault": share(counted.contained),
    "First words of an answer, median": time(counted.response_p50),
    "First words of an answer, 95th percentile": time(counted.response_p95),
    "Interruptions by callers": number(counted.interrupts),
    "Cost of the models": costs.join(", ") || "–",
  };
  const tools = counted.tools.map((tool) => element("tr", {},
    element("td", {}, tool.name), element("td", {}, number(tool.runs)),
    element("td", { class: tool.failed ? "danger" : "" }, number(tool.failed))));
  const head = element("tr", {}, ...["Tool", "Runs", "Failed"].map((name) => element("th", { scope: "col" }, name)));
  byId("numbers").replaceChildren(
    element("h2", {}, "This process since its start"),
    element("dl", { class: "overview" }, ...Object.entries(rows).map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    tools.length ? element("table", { class: "tools" }, element("thead", {}, head), element("tbody", {}, ...tools)) : "",
  );
}

async function showEnded() {
  const query = new URLSearchParams({ last: "50" });
  const caller = byId("caller").value.trim();
  if (caller) query.set("caller", caller);
  try {
    const found = await read(`/console/calls?${query}`);
    const calls = found.filter((call) => call.reason).map((call) => ({
      call: call.call_sid, caller: call.caller, useCase: call.use_case,
      began_ms: Date.parse(call.began), reason: call.reason,
    }));
    byId("ended").replaceChildren(...calls.map((call) => callButton(call, call.reason)));
  } catch (error) {
    byId("ended").replaceChildren(element("li", { class: "danger" }, error.message));
  }
}

function mark() {
  for (const button of document.querySelectorAll(".call-list button")) {
    if (button.dataset.call === chosen) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function clear(title) {
  facts = new Map();
  turns = new Map();
  tools = new Map();
  for (const id of ["transcript", "facts", "receipt", "numbers"]) byId(id).replaceChildren();
  byId("call-title").textContent = title;
  byId("state").textContent = byId("told").textContent = "";
  byId("turns").textContent = byId("tokens").textContent = "0";
  byId("cost").textContent = "–";
  byId("step-in").hidden = true;
}

function choose(call, detail) {
  feed?.close();
  feed = null;
  chosen = call;
  clear(call);
  mark();
  if (detail === "live") watch(call);
  else showCall(call, detail);
  byId("call-title").focus();
}

function watch(call) {
  let isOver = false;
  const events = stream(
    `/console/calls/${encodeURIComponent(call)}/live`,
    (message) => {
      if (call !== chosen) return;
      if (message.type === "ended") isOver = true;
      take(message);
    },
    () => {
      if (call !== chosen) events.close();
      else if (isOver && !live.some((one) => one.call === call)) {
        events.close();
        showEnded();
      } else byId("state").textContent = "connecting…";
    },
  );
  feed = events;
}

function take(message) {
  switch (message.type) {
    case "call":
      clear(`${message.caller || "withheld"} · ${message.useCase}`);
      byId("state").textContent = `${message.model} · since ${clock(message.began_ms)}`;
      byId("step-in").hidden = !mayAct;
      byId("transfer").disabled = !message.mayTransfer;
      showControl(message.isTakenOver);
      break;
    case "fact":
      showPartial("");
      showFact(message.position, message.fact);
      break;
    case "partial":
      showPartial(message.text);
      break;
    case "control":
      showControl(message.isTakenOver);
      break;
    case "act":
      byId("told").textContent = message.isDone
        ? `${message.by}: ${DONE[message.act]}`
        : `${message.by}: ${message.act} was not possible.`;
      break;
    case "turn":
      turns.set(message.number, message);
      byId("turns").textContent = number(turns.size);
      showWork();
      break;
    case "tool":
      tools.set(message.id, message);
      showWork();
      break;
    case "tokens":
      byId("tokens").textContent = number(message.total);
      byId("cost").textContent = message.cost === null ? "–" : `${message.cost.toFixed(4)} ${message.currency}`;
      break;
    case "fault":
      byId("state").textContent = message.text;
      break;
    case "ended":
      byId("state").textContent = `ended: ${message.reason.replaceAll("_", " ")}`;
      byId("step-in").hidden = true;
      break;
  }
}

function showControl(is) {
  isTakenOver = is;
  const button = byId("take-over");
  button.setAttribute("aria-pressed", String(is));
  button.textContent = is ? "Give back" : "Take over";
}

function showPartial(text) {
  byId("partial")?.remove();
  if (text) {
    byId("transcript").append(
      element("li", { id: "partial", class: "caller partial" }, element("span", { class: "who" }, "caller"), text),
    );
  }
}

function showFact(position, fact) {
  const known = facts.get(position) ?? { longest: "" };
  const kind = FACTS[fact.kind] ?? "note";
  const parts = [];
  let who = kind;
  if (kind === "agent") {
    who = VOICES[fact.voice ?? "model"] ?? fact.voice;
    if (!fact.is_cut && fact.text.length > known.longest.length) known.longest = fact.text;
    parts.push(element("span", { class: "heard" }, fact.text));
    if (fact.is_cut) parts.push(element("span", { class: "unheard" }, known.longest.slice(fact.text.length) || " [cut off]"));
  } else if (kind === "tool") {
    parts.push(toolRun({
      name: fact.call.name, arguments: fact.call.arguments, seconds: null,
      result: fact.result?.content ?? "", is_error: fact.result?.is_error ?? false,
    }));
  } else parts.push(fact.text);
  const label = kind === "caller" && fact.means === "keypad" ? "keys" : who;
  const classes = `${kind === "summary" ? "note" : kind} ${who === "operator" ? "operator" : ""}`;
  const made = element("li", { class: classes.trim() }, element("span", { class: "who" }, label), ...parts);
  if (known.element) known.element.replaceWith(made);
  else byId("transcript").append(made);
  facts.set(position, { element: made, longest: known.longest });
  made.scrollIntoView({ block: "nearest" });
}

function showWork() {
  const cards = [...turns.values()].sort((one, other) => other.number - one.number).map((turn) =>
    element(
      "div", { class: "turn-card" },
      element("div", {}, element("strong", {}, `${turn.number}. ${turn.words}`)),
      turn.response === null ? "" : element("div", { class: "time" }, `first word after ${seconds(turn.response)}`),
      waterfall(turn),
    ));
  const runs = [...tools.values()].reverse().map(toolRun);
  byId("facts").replaceChildren(...runs, ...cards);
}

async function showCall(call, reason) {
  try {
    const whole = await read(`/console/calls/${encodeURIComponent(call)}`);
    clear(`${whole.caller || "withheld"} · ${whole.use_case}`);
    byId("state").textContent = `ended: ${reason.replaceAll("_", " ")}`;
    whole.facts.forEach((fact, position) => showFact(position, fact));
    const all = whole.lines.flatMap((line) => line.turns);
    byId("turns").textContent = number(all.length);
    byId("facts").replaceChildren(...all.map((turn) => element(
      "div", { class: "turn-card" },
      element("strong", {}, turn.words),
      ...turn.spans.map((span) => element("div", { class: "time" },
        `${span.name}: ${span.to_ms === null ? "?" : seconds((span.to_ms - span.from_ms) / 1000)} ${span.end}`)),
    )));
    byId("receipt").replaceChildren(element(
      "div", { class: "commands" },
      element("h2", {}, "On a command line"),
      element("code", {}, `python -m agent show ${call} --html > call.html`),
      element("code", {}, `python -m agent show ${call} --scenario`),
      element("code", {}, `python -m agent replay ${call} --now`),
    ));
  } catch (error) {
    byId("state").textContent = error.message;
  }
}

async function act(name) {
  const words = byId("words");
  const needsWords = name === "say" || name === "whisper";
  if (needsWords && !words.value.trim()) {
    byId("told").textContent = "Write something first.";
    words.focus();
    return;
  }
  const answer = await fetch(`/console/calls/${encodeURIComponent(chosen)}/act`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(needsWords ? { act: name, text: words.value } : { act: name }),
  });
  if (!answer.ok) byId("told").textContent = (await answer.text()).trim();
  else if (needsWords) words.value = "";
}

byId("step-in").addEventListener("submit", (event) => {
  event.preventDefault();
  act("say");
});
byId("whisper").addEventListener("click", () => act("whisper"));
byId("take-over").addEventListener("click", () => act(isTakenOver ? "give_back" : "take_over"));
byId("transfer").addEventListener("click", () => act("transfer"));
byId("end").addEventListener("click", () => act("end"));
byId("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    act("say");
  }
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  showEnded();
});

const key = await read("/console/me");
mayAct = key.mayAct;
byId("who").textContent = `${key.name}${mayAct ? "" : " (may look only)"}`;
stream("/console/live", (message) => showLive(message.calls), () => {
  byId("live-count").textContent = "(connecting…)";
});
await Promise.all([showEnded(), showNumbers()]);
