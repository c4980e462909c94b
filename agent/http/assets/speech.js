// Ears and a voice for a page: the browser's own, or what a test or an extension puts in their place.
//
// A voice: speak(text, language, progress, done) calls `progress(characters)` as it comes to words and
// `done()` at the end; cancel() stops at once. Ears: listen(language, hear) calls `hear(words, isFinal)`
// with all words of an utterance so far; stop(). Where a browser lacks one, it is null.

const CHARACTERS_PER_SECOND = 15;
const STALLED_MS = 4000;
const VOICES_MS = 700;

/** `{ voice, ears }`; `window.phoneSpeech` takes the place of the browser's own. */
export async function openSpeech() {
  return globalThis.phoneSpeech ?? { voice: await browserVoice(), ears: browserEars() };
}

async function browserVoice() {
  const synthesis = globalThis.speechSynthesis;
  if (!synthesis || !globalThis.SpeechSynthesisUtterance) return null;
  if (!synthesis.getVoices().length) {
    await new Promise((resolve) => {
      synthesis.addEventListener("voiceschanged", resolve, { once: true });
      setTimeout(resolve, VOICES_MS);
    });
  }
  if (!synthesis.getVoices().length) return null;
  let watches = [];
  const unwatch = () => {
    watches.forEach(clearInterval);
    watches = [];
  };
  return {
    speak(text, language, progress, done) {
      const utterance = new SpeechSynthesisUtterance(text);
      utterance.lang = language;
      let began = 0;
      let latest = performance.now();
      let hasBoundaries = false;
      let isOver = false;
      const end = () => {
        if (isOver) return;
        isOver = true;
        clearInterval(watch);
        done();
      };
      utterance.onstart = () => (began = latest = performance.now());
      utterance.onboundary = (event) => {
        hasBoundaries = true;
        latest = performance.now();
        progress(event.charIndex + (event.charLength ?? 0));
      };
      utterance.onend = end;
      utterance.onerror = end;
      // Some voices report no words: then the time tells. One that is stuck must not hold the call up.
      const watch = setInterval(() => {
        const now = performance.now();
        if (began && !hasBoundaries) {
          progress(Math.min(text.length, Math.floor(((now - began) / 1000) * CHARACTERS_PER_SECOND)));
        }
        if (now - latest > STALLED_MS + (1000 * text.length) / 8) end();
      }, 100);
      watches.push(watch);
      synthesis.speak(utterance);
    },
    cancel() {
      unwatch();
      synthesis.cancel();
    },
  };
}

function browserEars() {
  const Recognition = globalThis.SpeechRecognition ?? globalThis.webkitSpeechRecognition;
  if (!Recognition) return null;
  let recognition = null;
  return {
    listen(language, hear, failed) {
      recognition = new Recognition();
      recognition.continuous = true;
      recognition.interimResults = true;
      recognition.lang = language;
      recognition.onresult = (event) => {
        for (let index = event.resultIndex; index < event.results.length; index += 1) {
          const words = event.results[index][0].transcript.trim();
          if (words) hear(words, event.results[index].isFinal);
        }
      };
      recognition.onerror = (event) => {
        if (event.error !== "no-speech" && event.error !== "aborted") {
          recognition = null;
          failed(event.error);
        }
      };
      recognition.onend = () => recognition?.start(); // a browser stops by itself after a while
      recognition.start();
    },
    stop() {
      const stopped = recognition;
      recognition = null;
      stopped?.abort();
    },
  };
}
