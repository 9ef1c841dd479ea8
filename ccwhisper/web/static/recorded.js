// That a call is recorded, and the pause for what must not be: a card number.
import { Icon, html } from "./ui.js";

/** Pause, or go on; nothing for a call that is not recorded. */
export function toggleRecording(desk, call) {
  if (!call?.recording || call.recording.failed) return Promise.resolve();
  return desk.ask(call.recording.paused ? "resume_recording" : "pause_recording", { call: call.id });
}

/** One word of it, where there is room for no more. A pause is loud: what is said meanwhile is lost. */
export function RecordedChip({ recording }) {
  if (!recording) return null;
  if (recording.failed) return html`<span class="chip" data-rec="failed" title="The switch does not record this call">Not recorded</span>`;
  if (recording.paused) return html`<span class="chip" data-rec="paused" title="Paused by ${recording.paused_by}"><${Icon} name="hold" />Paused</span>`;
  return html`<span class="chip" data-rec="on" title="This call is recorded"><span class="dot"></span>Rec</span>`;
}

/** All of it, with the button. */
export function Recorded({ desk, call, refused, text = "This call is recorded." }) {
  const { recording } = call;
  if (!recording) return null;
  if (recording.failed) return html`<p class="record" data-rec="failed" role="alert">The switch does not record this call, although it should.</p>`;
  const { paused } = recording;
  return html`<section class="record" data-rec=${paused ? "paused" : "on"} aria-label="Recording" role=${paused ? "alert" : undefined}>
    ${paused ? html`<${Icon} name="hold" />` : html`<span class="dot"></span>`}
    <p class="grow">${paused ? html`<strong>Recording paused</strong> by ${recording.paused_by}: nothing that is said is kept.` : text}</p>
    <button type="button" aria-label=${paused ? "Go on recording" : "Pause recording"}
      onClick=${() => toggleRecording(desk, call).catch(refused)}>${paused ? "Go on" : "Pause"} <kbd>R</kbd></button>
  </section>`;
}

const WHISPERS = {
  recorded: "Your whisper is recorded, on a track of its own.",
  not_recorded: "Your whisper is not recorded.",
  excluded: "Whispers are never recorded here.",
};

/** What a coach must know before he says a word. */
export function Whispers({ session, call }) {
  // While his phone rings he has no track yet: that he is not recorded would be no news then, or wrong in a moment.
  if (session.recorded === "not_recorded" && (!call?.recording || session.phase !== "attached")) return null;
  return html`<p class="faint whispers" data-recorded=${session.recorded}>${WHISPERS[session.recorded]}</p>`;
}
