// The console: live calls of all processes, what each one does, and what a person can do about it.
import { byId, element, number, read, seconds, timeline, toolRun, waterfall } from "./page.js";

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

/** Until the list of live calls has a change. */
const LISTED_MS = 1500;

let mayAct = false;
let chosen = "";
let feed = null;
let counting = null;
let earlier = null;
let over = "";
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
  if (over && over === chosen && calls.some((call) => call.call === over)) watch(over);
}

const share = (value) => (value === null ? "–" : `${Math.round(100 * value)} %`);
const time = (value) => (value === null ? "–" : seconds(value));

/** What the fleet has counted, until a call is chosen. */
function showOverview() {
  feed?.close();
  feed = null;
  chosen = "";
  clear("All processes since their start");
  mark();
  byId("overview").hidden = true;
  counting ??= stream("/console/numbers", showNumbers, () => {
    if (!chosen) byId("state").textContent = "connecting…";
  });
}

function showNumbers({ numbers: counted, ports, silent }) {
  if (chosen) return;
  byId("state").textContent = `${ports - silent.length} of ${ports} processes answer`;
  const costs = Object.entries(counted.costs).map(([currency, cost]) => `${cost.toFixed(2)} ${currency}`);
  const rows = {
    "Calls that go on": number(counted.live),
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
    ...silent.map((port) => element("p", { class: "danger" }, `${port} does not answer: its numbers are missing.`)),
    element("dl", { class: "overview" }, ...Object.entries(rows).map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    tools.length ? element("table", { class: "tools" }, element("thead", {}, head), element("tbody", {}, ...tools)) : "",
  );
}

/** The first calls that fit the form, or with `before` those that follow. */
async function showEnded(before = null) {
  const query = new URLSearchParams([...new FormData(byId("search"))].filter(([, value]) => value.trim()));
  if (query.has("day")) query.delete("since");
  if (before !== null) query.set("before", before);
  const list = byId("ended");
  try {
    const found = await read(`/console/calls?${query}`);
    earlier = found.before;
    if (before === null) list.replaceChildren();
    const known = new Set([...list.querySelectorAll("button")].map((button) => button.dataset.call));
    const calls = found.calls.filter((call) => call.reason && !known.has(call.call_sid)).map((call) => ({
      call: call.call_sid, caller: call.caller, useCase: call.use_case,
      began_ms: Date.parse(call.began), reason: call.reason,
    }));
    list.append(...calls.map((call) => callButton(call, call.reason)));
    byId("found").textContent = list.children.length ? "" : "No calls fit.";
  } catch (error) {
    earlier = null;
    list.replaceChildren();
    byId("found").textContent = error.message;
  }
  byId("more").hidden = earlier === null;
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
  for (const id of ["transcript", "facts", "report", "numbers"]) byId(id).replaceChildren();
  byId("call-title").textContent = title;
  byId("state").textContent = byId("told").textContent = "";
  byId("turns").textContent = byId("tokens").textContent = "0";
  byId("cost").textContent = "–";
  byId("step-in").hidden = byId("after").hidden = byId("work").hidden = true;
}

function choose(call, detail) {
  feed?.close();
  counting?.close();
  feed = counting = null;
  chosen = call;
  byId("overview").hidden = false;
  clear(call);
  mark();
  if (detail === "live") watch(call);
  else showCall(call, detail);
  byId("call-title").focus();
}

/** Watch a connection of a call. The service ends the stream with it; the call may have another. */
function watch(call) {
  over = "";
  const events = stream(
    `/console/calls/${encodeURIComponent(call)}/live`,
    (message) => {
      if (call !== chosen) return;
      take(message);
      if (message.type === "ended") endWatch(call);
    },
    () => {
      if (call !== chosen) events.close();
      else if (events.readyState === EventSource.CLOSED) endWatch(call);
      else byId("state").textContent = "connecting…";
    },
  );
  feed = events;
}

function endWatch(call) {
  feed?.close();
  feed = null;
  setTimeout(() => {
    if (call !== chosen || feed) return;
    if (live.some((one) => one.call === call)) {
      watch(call);
      return;
    }
    over = call;
    showEnded();
  }, LISTED_MS);
}

function take(message) {
  switch (message.type) {
    case "call":
      clear(`${message.caller || "withheld"} · ${message.useCase}`);
      byId("state").textContent = `${message.model} · since ${clock(message.began_ms)}`;
      byId("step-in").hidden = !mayAct;
      byId("work").hidden = false;
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
  if (feed) made.scrollIntoView({ block: "nearest" });
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
    if (call !== chosen) return;
    clear(`${whole.caller || "withheld"} · ${whole.use_case}`);
    const told = [`ended: ${reason.replaceAll("_", " ")}`];
    if (whole.outcome) told.push(`success: ${whole.outcome.success}`);
    for (const { stamp } of whole.lines.slice(-1)) told.push(`version ${stamp.version}`, stamp.model);
    if (whole.fault) told.push(`the record cannot be used: ${whole.fault}`);
    byId("state").textContent = told.join(" · ");
    whole.facts.forEach((fact, position) => showFact(position, fact));
    const all = whole.lines.flatMap((line) => line.turns);
    byId("turns").textContent = number(all.length);
    byId("tokens").textContent = "–";
    byId("facts").replaceChildren(...all.map((turn) => element(
      "div", { class: "turn-card" },
      element("strong", {}, turn.words),
      turn.first_text_ms === null ? "" : element("div", { class: "time" }, `first word after ${seconds(turn.first_text_ms / 1000)}`),
      timeline(turn),
    )));
    byId("scenario").href = `/console/calls/${encodeURIComponent(call)}/scenario`;
    byId("page").href = `/console/calls/${encodeURIComponent(call)}/page`;
    byId("forgotten").textContent = whole.caller;
    byId("forget").hidden = !mayAct || !whole.caller;
    byId("make").hidden = byId("after").hidden = byId("work").hidden = false;
  } catch (error) {
    if (call === chosen) byId("state").textContent = error.message;
  }
}

const REPLAYED = ["It is decided as it was.", "It is decided otherwise.", "It cannot be replayed."];

/** Show what a button has led to, unless another call was chosen meanwhile. */
async function report(working, work) {
  const call = chosen;
  byId("report").replaceChildren(element("p", { class: "quiet" }, working));
  let told;
  try {
    told = await work(call);
  } catch (error) {
    told = [element("p", { class: "danger" }, error.message)];
  }
  if (call === chosen) byId("report").replaceChildren(...told);
}

const replay = () => report("It is replayed…", async (call) => {
  const found = await read(`/console/calls/${encodeURIComponent(call)}/replay`);
  return [element("p", {}, REPLAYED[found.status]), element("div", { class: "report" }, found.text)];
});

const forget = () => report("It is deleted…", async (call) => {
  const answer = await send(`/console/calls/${encodeURIComponent(call)}/forget`, { confirm: byId("confirm").value });
  const found = await answer.json();
  const lines = [
    ...Object.entries(found.deleted).map(([kind, count]) => `deleted ${number(count)} ${kind}`),
    ...found.kept.map(([what, reason]) => `stays: ${what}: ${reason}`),
    found.not_reached,
  ];
  byId("forget").hidden = byId("make").hidden = byId("work").hidden = true;
  byId("confirm").value = "";
  byId("state").textContent = "deleted";
  for (const id of ["transcript", "facts"]) byId(id).replaceChildren();
  await showEnded();
  return [element("div", { class: "report" }, lines.join("\n"))];
});

/** A request that changes something; throws with the words of a refusal. */
async function send(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer;
}

async function act(name) {
  const words = byId("words");
  const needsWords = name === "say" || name === "whisper";
  if (needsWords && !words.value.trim()) {
    byId("told").textContent = "Write something first.";
    words.focus();
    return;
  }
  try {
    await send(`/console/calls/${encodeURIComponent(chosen)}/act`, needsWords ? { act: name, text: words.value } : { act: name });
    if (needsWords) words.value = "";
  } catch (error) {
    byId("told").textContent = error.message;
  }
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
byId("more").addEventListener("click", () => showEnded(earlier));
byId("overview").addEventListener("click", showOverview);
byId("replay").addEventListener("click", replay);
byId("forget").addEventListener("submit", (event) => {
  event.preventDefault();
  forget();
});

const key = await read("/console/me");
mayAct = key.mayAct;
byId("who").textContent = `${key.name}${mayAct ? "" : " (may look only)"}`;
stream("/console/live", (message) => showLive(message.calls), () => {
  byId("live-count").textContent = "(connecting…)";
});
showOverview();
await showEnded();
