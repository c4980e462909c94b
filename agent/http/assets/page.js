// What all pages share. Everything from outside is put into the page as text, never as HTML.

/** An element with classes, attributes and children; texts become text nodes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** JSON of this service; throws with its own words if it refuses. */
export async function read(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status} ${(await answer.text()).trim()}`);
  return answer.json();
}

/** A WebSocket of this service: messages are JSON objects with a `type`. */
export function open(path, onMessage, onClosed) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.addEventListener("message", (event) => onMessage(JSON.parse(event.data)));
  socket.addEventListener("close", onClosed);
  return {
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
    whenOpen(act) {
      if (socket.readyState === WebSocket.OPEN) act();
      else socket.addEventListener("open", act, { once: true });
    },
    close: () => socket.close(),
  };
}

/** Seconds for people: milliseconds below a tenth. */
export function seconds(value) {
  if (value < 0.1) return `${Math.round(1000 * value)} ms`;
  return value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`;
}

/** A number with separators of thousands. */
export const number = (value) => value.toLocaleString("en-US");

const STAGES = {
  hold: "more words?",
  prepare: "service",
  model: "model",
  tool: "tools",
  phrase: "first clause",
  speech: "rest of reply",
  model_again: "model again",
  tool_again: "tools, spoken",
  closing: "closing",
};

/** Rows of bars on one scale: each has a name, seconds, and parts with a kind, from and to. */
function bars(rows) {
  const total = Math.max(0, ...rows.flatMap((row) => row.parts.map((part) => part.to))) || 1;
  return element("ol", { class: "waterfall" }, ...rows.map((row) => {
    const drawn = row.parts.map((part) => {
      const bar = element("span", { class: `bar stage-${part.kind}` });
      bar.style.insetInlineStart = `${(100 * part.from) / total}%`;
      bar.style.inlineSize = `${Math.max(1, (100 * (part.to - part.from)) / total)}%`;
      return bar;
    });
    return element(
      "li",
      { class: row.isFault ? "failed" : undefined },
      element("span", { class: "stage" }, row.name),
      element("span", { class: "track", "aria-hidden": "true" }, ...drawn),
      element("span", { class: "time" }, row.seconds === null ? "?" : seconds(row.seconds)),
    );
  }));
}

/** Where the time of a turn went: one bar for each stage, with its name and seconds. */
export function waterfall(turn) {
  let before = 0;
  return bars(Object.entries(turn.stages).filter(([, time]) => time >= 0.0005).map(([stage, time]) => {
    const part = { kind: stage, from: before, to: before + time };
    before += time;
    return { name: STAGES[stage] ?? stage, seconds: time, parts: [part] };
  }));
}

const SHORTEST_HOLD_MS = 50;

/** A recorded turn: a bar for each reply and tool; a reply waits for its first words, drawn pale. */
export function timeline(turn) {
  const times = turn.spans.flatMap((span) => [span.from_ms, span.first_ms, span.to_ms]);
  const last = Math.max(0, ...times, turn.last_text_ms);
  const spans = turn.spans.filter((span) => span.name !== "hold" || span.to_ms >= SHORTEST_HOLD_MS);
  const rows = spans.map((span) => {
    const isReply = span.name.startsWith("reply");
    const to = span.to_ms ?? last;
    const first = isReply ? span.first_ms ?? to : span.from_ms;
    const kind = isReply ? "model" : span.name === "hold" ? "hold" : "tool";
    const name = isReply ? "model" : span.name === "hold" ? STAGES.hold : span.name.slice("tool ".length);
    return {
      name: `${name} ${span.end}`.trim(),
      isFault: span.end !== "" && span.end !== "cancelled",
      seconds: span.to_ms === null ? null : (to - span.from_ms) / 1000,
      parts: [
        { kind: "wait", from: span.from_ms, to: first },
        { kind, from: first, to },
      ].filter((part) => part.to > part.from),
    };
  });
  if (turn.first_text_ms !== null) {
    const to = turn.last_text_ms ?? turn.first_text_ms;
    const part = { kind: "speech", from: turn.first_text_ms, to };
    rows.push({ name: "speech", seconds: (to - turn.first_text_ms) / 1000, parts: [part] });
  }
  return bars(rows);
}

/** A tool run: its arguments and its result in a line each, whole when it is opened. */
export function toolRun(tool) {
  const unknown = tool.result ? "" : "runs";
  const time = tool.seconds === null ? unknown : seconds(tool.seconds);
  const told = [element("code", {}, tool.arguments)];
  if (tool.result) told.push(element("code", { class: "result" }, `→ ${tool.result}`));
  return element(
    "details",
    { class: tool.is_error ? "tool failed" : "tool" },
    element(
      "summary",
      {},
      element("strong", {}, tool.name),
      " ",
      element("span", { class: "time" }, time),
      ...told.map((each) => each.cloneNode(true)),
    ),
    ...told,
  );
}
