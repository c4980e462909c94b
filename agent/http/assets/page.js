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

/** Where the time of a turn went: one bar for each stage, with its name and seconds. */
export function waterfall(turn) {
  const shown = Object.entries(turn.stages).filter(([, time]) => time >= 0.0005);
  const total = shown.reduce((sum, [, time]) => sum + time, 0) || 1;
  let before = 0;
  const rows = shown.map(([stage, time]) => {
    const bar = element("span", { class: `bar stage-${stage}` });
    bar.style.marginInlineStart = `${(100 * before) / total}%`;
    bar.style.inlineSize = `${Math.max(1, (100 * time) / total)}%`;
    before += time;
    return element(
      "li",
      {},
      element("span", { class: "stage" }, STAGES[stage] ?? stage),
      element("span", { class: "track", "aria-hidden": "true" }, bar),
      element("span", { class: "time" }, seconds(time)),
    );
  });
  return element("ol", { class: "waterfall" }, ...rows);
}

/** A tool run: its arguments and its result in a line each, whole when it is opened. */
export function toolRun(tool) {
  const time = tool.seconds === null ? "runs" : seconds(tool.seconds);
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
