// Lines of text for the agent: typed or chosen, and what became of them.
import { html, useState } from "./ui.js";
import { cueSteps } from "./words.js";

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
}

export function Cues({ desk, session, queue, refused }) {
  const [text, setText] = useState("");
  const templates = desk.templates[queue] ?? desk.templates[""] ?? [];
  const sent = [...desk.cues.values()].filter((cue) => cue.session === session.id).reverse();
  const send = async (line) => {
    if (!line.trim()) return;
    try {
      await desk.ask("send_cue", { session: session.id }, { text: line });
      if (line === text) setText("");
    } catch (error) {
      refused(error);
    }
  };
  return html`<section class="cues" aria-label="Cues">
    <h3>Cues for ${session.agent_name}</h3>
    <form onSubmit=${(event) => { event.preventDefault(); send(text); }}>
      <input id="cue" aria-label="Text for the agent" placeholder="Write to the agent (C)" maxlength="500"
        autocomplete="off" value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      <button type="submit" disabled=${!text.trim()}>Send</button>
    </form>
    ${!!templates.length && html`<div class="templates">${templates.map(
      (line) => html`<button type="button" key=${line} onClick=${() => send(line)}>${line}</button>`)}</div>`}
    <ul>${sent.map((cue) => html`<li key=${cue.id} data-reply=${cue.reply ?? undefined}>
      <p>${cue.text}</p>
      <p class="steps faint">${cueSteps(cue).map(([what, at]) => html`<span key=${what}>${what} <span class="time">${clock(at)}</span></span>`)}</p>
    </li>`)}</ul>
  </section>`;
}
