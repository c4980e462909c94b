// The browser phone by Twilio: Twilio's Voice SDK dials, with a token that this service issues.
// A call has a device of its own, so that no token is kept from one call to the next.

import { byId, element, read } from "./page.js";

const WORDS = {
  20101: "Twilio does not accept the token; are the API key and its secret right?",
  20104: "the token has expired; call again",
  31000: "Twilio failed without a reason",
  31001: "Twilio knows no such TwiML application; is TWILIO_TWIML_APP_SID right?",
  31002: "Twilio declined the call",
  31003: "Twilio did not answer in time",
  31005: "the connection to Twilio ended; is the voice URL of the TwiML application right?",
  31009: "Twilio cannot be reached from here",
  31201: "Twilio does not allow this call",
  31202: "Twilio does not accept the signature of the token; is TWILIO_API_KEY_SECRET right?",
  31204: "Twilio does not accept the token; are the API key and its secret right?",
  31205: "the token has expired; call again",
  31206: "too many calls at once for Twilio",
  31401: "the microphone was refused; allow it for this page, and call again",
  31402: "there is no microphone that can be used",
  31404: "Twilio did not find whom to call",
  31480: "the call cannot be taken now",
  31486: "the line is busy",
  31603: "the call was declined",
  53000: "Twilio cannot be reached from here",
  53405: "sound cannot pass between this network and Twilio",
};
const RENEWED_MS = 60_000; // before a token expires
const { Device } = window.Twilio;
let device = null; // of the present call
let call = null;

for (const key of "123456789*0#") {
  const name = { "*": "star", "#": "hash" }[key] ?? key;
  const onclick = () => {
    call.sendDigits(key);
    note(`key ${key}`);
  };
  byId("keys").append(
    element("button", { type: "button", "aria-label": `Key ${name}`, disabled: true, onclick }, key),
  );
}

const note = (text, kind = "") =>
  byId("events").append(element("li", { class: `note ${kind}` }, `${new Date().toLocaleTimeString()} ${text}`));
function say(text, kind) {
  byId("status").textContent = text;
  note(text, kind);
}
function fault(error) {
  const text = WORDS[error.code] ? `${WORDS[error.code]} (${error.code})` : error.message;
  if (byId("status").textContent !== text) say(text, "danger"); // device and call may tell the same
}

const token = async (identity) =>
  (await read(`twilio/token?identity=${encodeURIComponent(identity)}`)).token;

const isCalling = () => byId("call").hidden;

function usable(isOn) {
  byId("call").hidden = isOn;
  byId("hang-up").hidden = !isOn;
  byId("identity").readOnly = isOn;
  if (!isOn) connected(false);
}

function connected(isOn) {
  byId("mute").disabled = !isOn;
  byId("mute").setAttribute("aria-pressed", "false");
  for (const key of byId("keys").children) key.disabled = !isOn;
}

async function dial(identity) {
  const given = await token(identity);
  if (!isCalling()) return;
  const own = (device = new Device(given, { tokenRefreshMs: RENEWED_MS }));
  own.on("error", fault);
  own.on("tokenWillExpire", async () => {
    try {
      own.updateToken(await token(identity));
      note("the token was renewed");
    } catch (error) {
      say(`the token was not renewed: ${error.message}`, "danger");
    }
  });
  const dialled = await own.connect({ params: { app_page: "phone" } });
  if (device !== own) return; // hung up, which has destroyed it
  call = dialled;
  call.on("ringing", () => say("ringing"));
  call.on("accept", () => {
    connected(true);
    say(`in a call, ${call.parameters.CallSid}`);
  });
  call.on("reconnecting", () => say("the connection is interrupted"));
  call.on("reconnected", () => say("in a call again"));
  call.on("warning", (name) => note(`the line is poor: ${name}`));
  call.on("mute", (isMuted) => byId("mute").setAttribute("aria-pressed", String(isMuted)));
  call.on("error", fault);
  for (const end of ["disconnect", "cancel", "reject"]) call.on(end, over);
}

function over() {
  if (!isCalling()) return;
  const own = device;
  device = call = null;
  own?.destroy();
  usable(false);
  note("call over");
  if (!byId("events").querySelector(".danger")) byId("status").textContent = "call over";
}

byId("call-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isCalling()) return;
  byId("events").replaceChildren();
  usable(true);
  say("calling");
  try {
    await dial(byId("identity").value);
  } catch (error) {
    fault(error);
    over();
  }
});
byId("hang-up").addEventListener("click", () => (call ? call.disconnect() : over()));
byId("mute").addEventListener("click", () => call.mute(!call.isMuted()));
